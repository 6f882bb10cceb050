"""Trees of class folders: what torchvision reads of them, and every mistaken tree named in one line."""

import shutil
from collections.abc import Callable
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.labels import LabelLayout

MakeTree = Callable[..., Path]


def opened(root: Path, **options: Any) -> PackedSource:
    return image_folder("rafd", options.pop("size", 16), root.parent / "outputs", root=str(root), **options)


def test_the_same_images_and_labels_as_torchvision(make_tree: MakeTree) -> None:
    root = make_tree(train=3, valid=1, test=2)
    nested = root / "train" / "happy" / "more"
    nested.mkdir()
    Image.new("L", (30, 30), 90).save(nested / "x.JPEG")
    (root / "train" / "happy" / "notes.txt").write_text("no image")
    source = opened(root, crop=20)
    source.prepare()
    assert source.splits() == ["train", "valid", "test"]
    assert (source.spec.names, source.spec.kind, source.spec.groups) == (("angry", "happy", "sad"), "categorical", ())
    for which in source.splits():
        theirs = ImageFolder(str(root / which))
        ours = source.split(which)
        expected = {str(Path(path).relative_to(root)): label for path, label in theirs.samples}
        assert dict(zip(ours.names, ours.labels.argmax(1).tolist(), strict=True)) == expected
        assert torch.equal(ours.labels.sum(1), torch.ones(len(ours)))
        assert ours.labels.dtype == torch.float32
    name = source.split("test").names[1]
    with Image.open(root / name) as image:
        pixels = image.crop((2, 5, 22, 25)).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(source.split("test").images([1])[0].numpy(), np.asarray(pixels).transpose(2, 0, 1))


def test_the_first_images_are_of_all_classes(make_tree: MakeTree) -> None:
    source = opened(make_tree(train=4, test=2), max_train=6, max_test=3)
    assert source.split("train").labels.sum(0).tolist() == [2, 2, 2]
    assert source.split("test").labels.tolist() == torch.eye(3).tolist()


def test_labels_are_known_before_any_image_is_read(make_tree: MakeTree) -> None:
    root = make_tree()
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    assert opened(root).spec.names == ("angry", "happy", "sad")
    assert opened(root.parent / "absent", classes=("b", "a")).spec.names == ("b", "a")


def test_the_label_is_as_wide_as_the_choice_of_classes(make_tree: MakeTree) -> None:
    names = ("angry", "happy", "neutral", "sad")
    root = make_tree(names, train=2, test=1)
    for count in (2, 3, 4):
        for chosen in combinations(names, count):
            for classes in list(permutations(chosen))[:3]:
                source = opened(root, classes=classes)
                assert source.spec.names == classes
                assert LabelLayout((source.spec,)).generator_width == count
                train = source.split("train")
                assert train.labels.shape == (2 * count, count)
                assert [Path(n).parts[1] for n in train.names] == [classes[i] for i in train.labels.argmax(1)]


def test_fingerprint_follows_pixels_and_labels_alone(make_tree: MakeTree) -> None:
    root = make_tree()
    base = opened(root).fingerprint
    same = [
        opened(root, classes=("angry", "happy", "sad")),
        opened(root, max_train=1000),
        opened(root, unreadable="skip"),
        opened(root, flip=False),
    ]
    assert {source.fingerprint for source in same} == {base}
    others = [
        opened(root, classes=("sad", "angry", "happy")),
        opened(root, classes=("angry", "sad")),
        opened(root, crop=20),
        opened(root, size=20),
        opened(root, max_test=3),
    ]
    assert len({base} | {source.fingerprint for source in others}) == 6
    (root / "train" / "angry" / "readme.txt").write_text("not an image")
    moved = root.rename(root.parent / "elsewhere")
    assert opened(moved).fingerprint == base
    (moved / "train" / "angry" / "angry0.png").rename(moved / "train" / "happy" / "angry0.png")
    assert opened(moved).fingerprint != base


def empty_class(root: Path) -> None:
    shutil.rmtree(root / "test" / "happy")
    (root / "test" / "happy").mkdir()


def split_folder(root: Path) -> None:
    shutil.move(root / "train", root.parent / "train")
    shutil.rmtree(root)
    shutil.move(root.parent / "train", root)


def loose(root: Path) -> None:
    for path in list((root / "train").rglob("*.png")):
        path.rename(root / "train" / path.name)
    for folder in list((root / "train").iterdir()):
        if folder.is_dir():
            folder.rmdir()


MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda root: shutil.rmtree(root), r"RaFD: no such folder; expected images there in train/<class>/"),
    "empty folder": (lambda root: [shutil.rmtree(root), root.mkdir()], r"RaFD: expected images .* found nothing"),
    "single folder": (
        split_folder,
        r"RaFD: 3 class folders lie there directly \(angry, happy, sad\), without train/ and test/; move them into",
    ),
    "splits by other names": (
        lambda root: [(root / "train").rename(root / "Training"), (root / "test").rename(root / "Test")],
        r"RaFD: expected images there in train/<class>/… and test/<class>/…, found Test, Training",
    ),
    "images alone": (
        lambda root: (
            [shutil.rmtree(root / "test"), loose(root), (root / "train").rename(root / "x")]
            + [path.rename(root / path.name) for path in (root / "x").iterdir()]
        ),
        r"RaFD: 12 images lie there without class folders \(angry0\.png, …\); expected train/",
    ),
    "no test": (lambda root: shutil.rmtree(root / "test"), r"RaFD: there is train/ but no test/; hold some images"),
    "no train": (lambda root: shutil.rmtree(root / "train"), r"RaFD: there is test/ but no train/"),
    "no class folders": (loose, r"RaFD/train: 12 images lie there without class folders \(angry0\.png, …\)"),
    "empty split": (
        lambda root: [shutil.rmtree(root / "test"), (root / "test").mkdir()],
        r"RaFD/test: it is empty; expected a folder of images per class, test/<class>",
    ),
    "empty class": (empty_class, r"RaFD/test/happy: no image there"),
    "a class less": (
        lambda root: shutil.rmtree(root / "test" / "happy"),
        r"RaFD/test: lacks happy; .* those of train/",
    ),
    "a class more": (lambda root: shutil.rmtree(root / "train" / "sad"), r"RaFD/test: has sad beside them"),
    "other names": (
        lambda root: (root / "test" / "sad").rename(root / "test" / "Sad"),
        r"RaFD/test: lacks sad and has Sad beside them",
    ),
    "one class": (
        lambda root: [shutil.rmtree(root / w / c) for w in ("train", "test") for c in ("happy", "sad")],
        r"RaFD/train: one single class folder, 'angry'; a translation needs at least two",
    ),
    "CelebA": (
        lambda root: [
            shutil.rmtree(root),
            (root / "images").mkdir(parents=True),
            (root / "list_attr_celeba.txt").write_text("1\nMale\na.jpg 1\n"),
        ],
        r"RaFD: holds list_attr_celeba\.txt, so it is in CelebA's form; use kind: celeba",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistaken_tree_is_named_in_one_line(what: str, make_tree: MakeTree) -> None:
    root = make_tree()
    mistake, message = MISTAKES[what]
    mistake(root)
    for ask in (lambda s: s.fingerprint, lambda s: s.prepare()):
        with pytest.raises(DataError, match=message) as caught:
            ask(opened(root))
        assert "\n" not in str(caught.value)
    assert not list((root.parent / "outputs").rglob("*.npy"))


@pytest.mark.parametrize("which", ["train", "test"])
def test_a_root_that_is_one_split_is_told_to_go_up(which: str, make_tree: MakeTree) -> None:
    root = make_tree()
    with pytest.raises(DataError, match=rf"{which}: this is the folder of one split; .* {root}$"):
        opened(root / which).prepare()


def test_wrong_classes_are_refused(make_tree: MakeTree) -> None:
    root = make_tree()
    with pytest.raises(ConfigError, match=r"data\.sources\.rafd\.classes: unknown class 'hapy'; did you mean 'happy'"):
        opened(root, classes=("hapy", "sad")).prepare()
    for classes in (("sad",), ("sad", "sad"), ()):
        with pytest.raises(ConfigError, match=r"data\.sources\.rafd\.classes: expected two or more different"):
            opened(root, classes=classes)
    shutil.rmtree(root / "test" / "happy")
    assert opened(root, classes=("sad", "angry")).split("test").labels.shape == (4, 2)
