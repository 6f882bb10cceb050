"""Class folders: the same images and labels as torchvision, and one-line errors for wrong layouts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from stargan_lab import compose
from stargan_lab.data.check import check
from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import ConfigError, DataError

MakeTree = Callable[..., Path]


def open_folder(root: Path, **options: Any) -> PackedSource:
    return image_folder("rafd", options.pop("size", 16), root.parent / "outputs", root=str(root), **options)


def test_images_and_labels_match_torchvision(make_tree: MakeTree) -> None:
    root = make_tree(train=3, valid=1, test=2)
    nested = root / "train" / "happy" / "more"
    nested.mkdir()
    Image.new("L", (30, 30), 90).save(nested / "x.JPEG")
    (root / "train" / "happy" / "notes.txt").write_text("not an image")
    source = open_folder(root, crop=20)
    source.prepare()
    assert source.splits() == ["train", "valid", "test"]
    assert (source.spec.names, source.spec.kind, source.spec.groups) == (("angry", "happy", "sad"), "categorical", ())
    for which in source.splits():
        reference, split = ImageFolder(str(root / which)), source.split(which)
        expected = {str(Path(path).relative_to(root)): label for path, label in reference.samples}
        assert dict(zip(split.names, split.labels.argmax(1).tolist(), strict=True)) == expected
        assert torch.equal(split.labels.sum(1), torch.ones(len(split)))
        assert split.labels.dtype == torch.float32
    with Image.open(root / source.split("test").names[1]) as image:
        pixels = image.crop((2, 5, 22, 25)).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(source.split("test").images([1])[0].numpy(), np.asarray(pixels).transpose(2, 0, 1))


def test_limits_are_balanced_over_classes(make_tree: MakeTree) -> None:
    source = open_folder(make_tree(train=4, test=2), max_train=6, max_test=3)
    assert source.split("train").labels.sum(0).tolist() == [2, 2, 2]
    assert source.split("test").labels.tolist() == torch.eye(3).tolist()


def test_labels_are_known_before_any_image_is_read(make_tree: MakeTree) -> None:
    root = make_tree()
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    assert open_folder(root).spec.names == ("angry", "happy", "sad")
    assert open_folder(root.parent / "absent", classes=("b", "a")).spec.names == ("b", "a")


def test_classes_select_and_order_the_labels(make_tree: MakeTree) -> None:
    source = open_folder(make_tree(("angry", "happy", "neutral", "sad"), train=2, test=1), classes=("sad", "angry"))
    assert source.spec.names == ("sad", "angry")
    train = source.split("train")
    assert train.labels.shape == (4, 2)
    assert [Path(n).parts[1] for n in train.names] == [source.spec.names[i] for i in train.labels.argmax(1)]


def test_fingerprint_depends_on_pixels_and_labels_only(make_tree: MakeTree) -> None:
    root = make_tree()
    base = open_folder(root).fingerprint
    same: list[dict[str, Any]] = [
        {"classes": ("angry", "happy", "sad")},
        {"max_train": 1000},
        {"unreadable": "skip"},
        {"flip": False},
    ]
    assert {open_folder(root, **options).fingerprint for options in same} == {base}
    different: list[dict[str, Any]] = [
        {"classes": ("sad", "angry", "happy")},
        {"classes": ("angry", "sad")},
        {"crop": 20},
        {"size": 20},
        {"max_test": 3},
    ]
    assert len({base} | {open_folder(root, **options).fingerprint for options in different}) == 6
    (root / "train" / "angry" / "readme.txt").write_text("not an image")
    moved = root.rename(root.parent / "elsewhere")
    assert open_folder(moved).fingerprint == base
    (moved / "train" / "angry" / "angry0.png").rename(moved / "train" / "happy" / "angry0.png")
    assert open_folder(moved).fingerprint != base


def remove_splits(root: Path) -> None:
    shutil.move(root / "train", root.parent / "train")
    shutil.rmtree(root)
    shutil.move(root.parent / "train", root)


def remove_class_folders(root: Path) -> None:
    for path in list((root / "train").rglob("*.png")):
        path.rename(root / "train" / path.name)
    for folder in list((root / "train").iterdir()):
        if folder.is_dir():
            folder.rmdir()


def make_celeba(root: Path) -> None:
    shutil.rmtree(root)
    (root / "images").mkdir(parents=True)
    (root / "list_attr_celeba.txt").write_text("1\nMale\na.jpg 1\n")


MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, r"RaFD: no such directory; expected train/<class>/… and test/<class>/…"),
    "empty folder": (
        lambda root: [shutil.rmtree(root), root.mkdir()],
        r"RaFD: found no directories; expected train/",
    ),
    "no splits": (
        remove_splits,
        r"RaFD: found class directories \(angry, happy, sad\) but no train/ and test/; expected",
    ),
    "wrong split names": (
        lambda root: [(root / "train").rename(root / "Training"), (root / "test").rename(root / "Test")],
        r"RaFD: found Test, Training; expected train/<class>/… and test/<class>/…",
    ),
    "only images": (
        lambda root: [shutil.rmtree(root), root.mkdir(), Image.new("RGB", (9, 9)).save(root / "a.png")],
        r"RaFD: found images outside class directories \(a\.png\); expected train/",
    ),
    "no test": (lambda root: shutil.rmtree(root / "test"), r"RaFD: found train/ but no test/; expected train/<class>"),
    "no class directories": (
        remove_class_folders,
        r"RaFD/train: found images outside class directories \(angry0\.png, .*; expected",
    ),
    "empty class": (
        lambda root: [path.unlink() for path in (root / "test" / "happy").iterdir()],
        r"RaFD/test/happy: contains no images",
    ),
    "classes differ": (
        lambda root: (root / "test" / "sad").rename(root / "test" / "Sad"),
        r"RaFD/test: class directories differ from train/: missing sad; extra Sad",
    ),
    "one class": (
        lambda root: [shutil.rmtree(root / w / c) for w in ("train", "test") for c in ("happy", "sad")],
        r"RaFD/train: found only class 'angry'; translation needs at least two",
    ),
    "CelebA": (make_celeba, r"RaFD: contains list_attr_celeba\.txt, so it has CelebA's layout; set kind=celeba"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_layouts_get_a_one_line_error(mistake: str, make_tree: MakeTree) -> None:
    root = make_tree()
    change, message = MISTAKES[mistake]
    change(root)
    with pytest.raises(DataError, match=message) as caught:
        _ = open_folder(root).fingerprint
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=message):
        open_folder(root).prepare()
    assert not list((root.parent / "outputs").rglob("*.npy"))


def test_a_single_split_as_root_suggests_its_parent(make_tree: MakeTree) -> None:
    root = make_tree()
    with pytest.raises(DataError, match=rf"train: this is a single split; set root to its parent, {root}$"):
        open_folder(root / "train").prepare()


def test_wrong_classes_are_refused(make_tree: MakeTree) -> None:
    root = make_tree()
    with pytest.raises(ConfigError, match=r"data\.sources\.rafd\.classes: unknown class 'hapy'; did you mean 'happy'"):
        open_folder(root, classes=("hapy", "sad")).prepare()
    for classes in (("sad",), ("sad", "sad"), ()):
        with pytest.raises(ConfigError, match=r"data\.sources\.rafd\.classes: expected two or more distinct"):
            open_folder(root, classes=classes)
    shutil.rmtree(root / "test" / "happy")
    assert open_folder(root, classes=("sad", "angry")).split("test").labels.shape == (4, 2)


def test_default_crop_fits_any_tree(make_tree: MakeTree) -> None:
    root = make_tree()
    for index, path in enumerate(sorted(root.rglob("*.png"))):
        Image.new("RGB", (20 + 7 * index, 33), "white").save(path)
    source = open_sources({"rafd": rafd_options(root)}, 16, root.parent / "outputs")[0]
    source.prepare()
    assert all(int(source.split(which).images([0]).min()) == 255 for which in source.splits()), "framed in black"


def rafd_options(root: Path) -> dict[str, Any]:
    """The options in data=rafd."""
    options = dict(compose(["data=rafd"]).data.sources["rafd"].options)
    return options | {"kind": "image_folder", "root": str(root)}


def test_crop_of_256_px_images_is_that_of_the_reference(make_tree: MakeTree) -> None:
    root = make_tree()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for path in root.rglob("*.png"):
        Image.fromarray(noise).save(path)
    sides = [open_folder(root, crop=crop).split("test").images([0]) for crop in (None, 256)]
    assert torch.equal(*sides)


def test_images_smaller_than_the_crop_are_refused_with_counts(make_tree: MakeTree) -> None:
    root = make_tree(train=3, test=2)  # 15 images
    small = root / "train" / "happy" / "happy1.png"
    Image.new("RGB", (40, 20)).save(small)
    with Image.open(root / "test" / "sad" / "sad0.png") as image:
        crop = min(image.size)
    assert open_folder(root, crop=20).fingerprint
    with pytest.raises(DataError) as refused:
        _ = open_folder(root, crop=crop).fingerprint
    assert str(refused.value) == (
        f"{root}: 1 of 15 images are smaller than the crop of {crop} px, e.g. train/happy/happy1.png (40x20);"
        " set data.sources.rafd.crop=null to crop to the shorter side"
    )
    report = check(open_folder(root, crop=crop))
    assert report.problems == {f"images smaller than the crop of {crop} px": ["train/happy/happy1.png (40x20)"]}
