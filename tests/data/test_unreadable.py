"""Broken images in training: stop before it begins, or leave them out and say so; and what fingerprints make of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stargan_lab.data import image_reader as scan
from stargan_lab.data.celeba import celeba, synthfaces
from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.errors import DataError

Make = Callable[..., Path]
BROKEN = ("000002.jpg", "000003.jpg", "000010.jpg")


def opened(root: Path, **options: Any) -> PackedSource:
    options = {"attributes": ("Male", "Young"), **options}
    return celeba("celeba", 16, root.parent / "outputs", root=str(root), **options)


def damage(root: Path) -> None:
    """A missing, a truncated and a text file, one of them in the test split."""
    images = root / "images"
    (images / BROKEN[0]).unlink()
    (images / BROKEN[1]).write_bytes((images / BROKEN[1]).read_bytes()[:4000])
    (images / BROKEN[2]).write_text("no image")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("000007.jpg", None, "000007.jpg: the image is missing"),
        ("000007.jpg", 3000, "000007.jpg: not readable as an image (image file is truncated"),
        ("000005.jpg", 0, "000005.jpg: not readable as an image (the file is empty)"),
    ],
)
def test_stop_names_the_file_and_what_to_do(name: str, content: int | None, message: str, make_folder: Make) -> None:
    root = make_folder()
    path = root / "images" / name
    path.unlink() if content is None else path.write_bytes(path.read_bytes()[:content])
    with pytest.raises(DataError) as caught:
        opened(root).prepare()
    text = str(caught.value)
    assert message in text and "\n" not in text
    assert "`stargan-lab data check`" in text and "data.sources.celeba.unreadable=skip" in text


def test_missing_files_are_counted_before_anything_is_packed(make_folder: Make) -> None:
    root = make_folder()
    for i in (1, 2, 3):
        (root / "images" / f"00000{i}.jpg").unlink()
    with pytest.raises(DataError, match=r"000001\.jpg: the image is missing, as are 2 more of 6"):
        _ = opened(root).fingerprint


def test_skip_leaves_out_and_keeps_names_labels_and_pixels_together(
    make_folder: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_folder()
    sound = opened(root)
    sound.prepare()
    damage(root)
    source = opened(root, unreadable="skip")
    source.prepare()
    err = capsys.readouterr().err
    said = [line for line in err.split("\n") if "left out" in line]
    assert said == [f"celeba: left out 3 of 10 images, unreadable: {', '.join(BROKEN)}"]
    for which in source.splits():
        before, after = sound.split(which), source.split(which)
        kept = [i for i, name in enumerate(before.names) if name not in BROKEN]
        assert list(after.names) == [before.names[i] for i in kept]
        assert torch.equal(after.labels, before.labels[kept])
        assert torch.equal(after.images(range(len(after))), before.images(kept))
    assert [len(source.split(which)) for which in source.splits()] == [4, 2, 1]


def test_what_was_left_out_is_remembered(make_folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder()
    damage(root)
    first = opened(root, unreadable="skip")
    first.prepare()
    monkeypatch.setattr(scan, "decode", lambda *_: pytest.fail("decoded again"))
    again = opened(root, unreadable="skip")
    again.prepare()
    assert again.left_out() == first.left_out() == list(BROKEN)
    assert again.fingerprint == first.fingerprint


def test_fingerprint_is_that_of_the_images_served(make_folder: Make) -> None:
    root = make_folder()
    base = opened(root).fingerprint
    assert opened(root, unreadable="skip").fingerprint == base
    damage(root)
    skipped = opened(root, unreadable="skip").fingerprint
    assert skipped != base
    (root / "images" / BROKEN[2]).write_text("no image either")
    assert opened(root, unreadable="skip").fingerprint == skipped
    for file in ("list_attr_celeba.txt", "list_eval_partition.txt"):  # as if they had never been listed
        lines = (root / file).read_text().split("\n")
        (root / file).write_text("\n".join(line for line in lines if line.split(" ")[0] not in BROKEN))
    assert opened(root).fingerprint == skipped
    assert opened(root).split("train").path == opened(root, unreadable="skip").split("train").path


def test_repaired_images_are_served_again(make_folder: Make) -> None:
    root = make_folder()
    whole = (root / "images" / "000001.jpg").read_bytes()
    (root / "images" / "000001.jpg").write_bytes(whole[:4000])
    assert len(opened(root, unreadable="skip").split("train")) == 5
    (root / "images" / "000001.jpg").write_bytes(whole)
    assert len(opened(root, unreadable="skip").split("train")) == 6


def test_a_limit_counts_what_is_listed(make_folder: Make) -> None:
    root = make_folder()
    damage(root)
    train = opened(root, unreadable="skip", max_train=3).split("train")
    assert list(train.names) == ["000001.jpg"]


def test_a_split_without_any_readable_image_is_refused(make_folder: Make) -> None:
    root = make_folder()
    for i in (5, 10):
        (root / "images" / f"{i:06d}.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"none of the 2 test images can be read; first .*000005\.jpg: not readable"):
        opened(root, unreadable="skip").prepare()


def test_a_file_that_only_this_machine_cannot_read_is_never_left_out(make_folder: Make) -> None:
    root = make_folder()
    (root / "images" / "000001.jpg").unlink()
    (root / "images" / "000001.jpg").mkdir()
    with pytest.raises(DataError, match=r"000001\.jpg: cannot be read \(Is a directory\)"):
        opened(root, unreadable="skip").prepare()


def test_a_tree_of_classes(make_tree: Make) -> None:
    root = make_tree()
    (root / "train" / "sad" / "sad0.png").write_text("no image")
    with pytest.raises(DataError, match=r"train/sad/sad0\.png: not readable .*data\.sources\.rafd\.unreadable=skip"):
        image_folder("rafd", 16, root.parent / "outputs", root=str(root)).prepare()
    source = image_folder("rafd", 16, root.parent / "outputs", root=str(root), unreadable="skip")
    source.prepare()
    train = source.split("train")
    assert train.labels.sum(0).tolist() == [4, 4, 3]
    assert [Path(name).parts[1] for name in train.names] == [source.spec.names[i] for i in train.labels.argmax(1)]


def test_damage_to_drawn_images_is_mended_by_drawing_them_again(tmp_path: Path) -> None:
    source = synthfaces("faces", 16, tmp_path, train=4, valid=0, test=2)
    source.splits()
    (source.root / "images" / "000002.png").write_bytes(b"")
    with pytest.raises(DataError, match=rf"000002\.png: .* is empty\); remove {source.root} to have it drawn again"):
        source.prepare()


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    root = tmp_path / "RaFD"
    values = np.linspace(0, 65_535, 32 * 32).reshape(32, 32).astype(np.uint16)
    for which in ("train", "test"):
        for label in ("a", "b"):
            (root / which / label).mkdir(parents=True)
            Image.fromarray(values).save(root / which / label / "x.png")
    pixels = image_folder("tree", 32, tmp_path, root=str(root)).split("train").images([0])[0].numpy()
    assert np.array_equal(pixels, np.broadcast_to((values // 257).astype(np.uint8), (3, 32, 32)))


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().split("\n"))))


def flaw_rows(root: Path) -> set[str]:
    """One row of each kind of flaw; returns the images that no longer have a sound one in both lists."""

    def attributes(lines: list[str]) -> list[str]:
        short, odd = lines[2].rsplit(None, 1)[0], lines[3].rsplit(None, 1)[0] + " yes"
        return [*lines[:2], short, odd, "  ", *lines[4:8], lines[7].replace(" 1", " -1"), *lines[8:]]

    def parts(lines: list[str]) -> list[str]:
        return [lines[0], "", *lines[1:6], "000007.jpg 7", *lines[8:10], lines[9]]  # 7 is odd, 8 is gone, 10 is twice

    edit(root / "list_attr_celeba.txt", attributes)
    edit(root / "list_eval_partition.txt", parts)
    return {"000001.jpg", "000002.jpg", "000007.jpg", "000008.jpg"}


def test_flawed_rows_of_lists_are_left_out_too(make_folder: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder()
    whole = opened(root)
    labels = {name: row for which in whole.splits() for name, row in _labelled(whole, which)}
    gone = flaw_rows(root)
    with pytest.raises(DataError, match=r"line 3: 4 values for 5 .*`stargan-lab data check` .*unreadable=skip"):
        opened(root).prepare()
    source = opened(root, unreadable="skip")
    source.prepare()
    said = [line for line in capsys.readouterr().err.split("\n") if "left out" in line]
    assert said == [
        "celeba: left out 9 flawed rows of its lists: list_attr_celeba.txt: line 3: 4 values for 5 attributes,"
        " list_attr_celeba.txt: line 4: expected 1 or -1 for 000002.jpg, got 'yes',"
        " list_attr_celeba.txt: line 5 is blank, …"
    ]
    served = {name: row for which in source.splits() for name, row in _labelled(source, which)}
    assert set(served) == set(labels) - gone
    assert all(torch.equal(row, labels[name]) for name, row in served.items())
    print_of_flawed = source.fingerprint
    edit(root / "list_attr_celeba.txt", lambda lines: [x for i, x in enumerate(lines) if i not in (2, 3, 4, 9)])
    edit(root / "list_eval_partition.txt", lambda lines: [x for i, x in enumerate(lines) if i not in (1, 7, 10)])
    edit(root / "list_attr_celeba.txt", lambda lines: [x for x in lines if x.split(" ")[0] not in gone])
    sound = opened(root)
    sound.prepare()
    assert sound.fingerprint == print_of_flawed
    assert "left out" not in capsys.readouterr().err


def _labelled(source: PackedSource, which: str) -> list[tuple[str, torch.Tensor]]:
    return list(zip(source.split(which).names, source.split(which).labels, strict=True))


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("list_eval_partition.txt", None, r"list_eval_partition\.txt: the file is missing"),
        (
            "list_attr_celeba.txt",
            "1\nMale Young\n",
            "expected a count, a line of attribute names and at least one image",
        ),
        (
            "list_attr_celeba.txt",
            "1\nMale Young\na.jpg 1\nb.jpg 1\n",
            "no image is left, 2 rows .*; first .*1 values for 2",
        ),
    ],
)
def test_lists_that_are_no_lists_stop_all_the_same(
    file: str, text: str | None, message: str, make_folder: Make
) -> None:
    root = make_folder()
    (root / file).unlink() if text is None else (root / file).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        opened(root, unreadable="skip").prepare()
    assert "\n" not in str(caught.value) and "unreadable=skip" not in str(caught.value)
