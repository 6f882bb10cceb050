"""``data check`` finds every kind of problem, with a count and the first names, and the balance of the labels."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from stargan_lab.data.celeba import celeba
from stargan_lab.data.celeba_annotations import read_attributes
from stargan_lab.data.check import Report, check
from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.synthfaces.dataset import synthfaces
from stargan_lab.errors import ConfigError

Make = Callable[..., Path]


def open_celeba(root: Path, **options: Any) -> PackedSource:
    options = {"attributes": ("Male", "Young"), **options}
    return celeba("celeba", 32, root.parent / "outputs", root=str(root), **options)


def test_a_valid_folder_has_no_problems(make_folder: Make) -> None:
    root = make_folder()
    report = check(open_celeba(root))
    assert report.problems == {}
    assert set(report.notes) == {"labels constant within a split"}  # the test split has two images
    assert report.sizes == {(178, 218): 10}
    assert report.counts == {"train": 6, "valid": 2, "test": 2}
    listed = read_attributes(root / "list_attr_celeba.txt")
    column = listed.columns(["Blond_Hair"])[:, 0]  # not selected
    assert report.balance["Blond_Hair"]["test"] == pytest.approx(np.mean([column[4], column[9]]))
    assert "no problems" in report.summary()


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().split("\n"))))


def blank_line(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:5], "  ", *lines[5:]])


def short_row(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:4], lines[4].rsplit(None, 1)[0], *lines[5:]])


def bad_value(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:4], lines[4].rsplit(None, 1)[0] + " yes", *lines[5:]])


def listed_twice(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:11], lines[8], *lines[11:]])


def duplicate_partition(root: Path) -> None:
    edit(root / "list_eval_partition.txt", lambda lines: [*lines[:2], lines[1], *lines[2:]])


def bad_partition(root: Path) -> None:
    edit(root / "list_eval_partition.txt", lambda lines: [x.replace("000003.jpg 0", "000003.jpg 7") for x in lines])


def missing_partition_row(root: Path) -> None:
    edit(root / "list_eval_partition.txt", lambda lines: [*lines[:7], *lines[8:]])


def constant(root: Path) -> None:
    def same(lines: list[str]) -> list[str]:
        return [*lines[:2], *(line.rsplit(None, 1)[0] + " -1" for line in lines[2:] if line)]

    edit(root / "list_attr_celeba.txt", same)


def truncated(root: Path) -> None:
    for name in ("000002.jpg", "000003.jpg"):
        path = root / "images" / name
        path.write_bytes(path.read_bytes()[:4000])


def leak(root: Path) -> None:
    """A train image in test, under another name and with other bytes but the same pixels."""
    with Image.open(root / "images" / "000001.jpg") as image:
        image.convert("RGB").save(root / "images" / "000005.jpg", "PNG")


def contradiction(root: Path) -> None:
    shutil.copy(root / "images" / "000001.jpg", root / "images" / "000002.jpg")


PROBLEMS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "blank lines": (blank_line, "list_attr_celeba.txt: line 6 is blank"),
    "rows with the wrong number of values": (short_row, "line 5: 4 values for 5 attributes"),
    "values other than 1, -1 and 0": (bad_value, "expected 1 or -1 for 000003.jpg, got 'yes'"),
    "files listed twice": (listed_twice, "line 12: 000007.jpg is already listed in line 9"),
    "malformed partition lines": (bad_partition, "line 3: expected a file name and 0, 1 or 2"),
    "files without a split": (missing_partition_row, "no line for 000008.jpg"),
    "missing annotation files": (lambda root: (root / "list_eval_partition.txt").unlink(), "write a line `FILE 0`"),
    "unreadable dataset": (lambda root: (root / "list_attr_celeba.txt").unlink(), "no such file"),
    "labels constant within a split": (constant, "Young in train"),
    "missing images": (
        lambda root: [(root / "images" / f"00000{i}.jpg").unlink() for i in (6, 7)],
        "000006.jpg, 000007.jpg",
    ),
    "unreadable images": (truncated, "000002.jpg: cannot decode image (image file is truncated"),
    "duplicate images across splits": (leak, "000001.jpg (train) = 000005.jpg (test)"),
    "duplicate images with different labels": (contradiction, "000001.jpg (train) = 000002.jpg (train)"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_each_kind_of_problem_is_reported(kind: str, make_folder: Make) -> None:
    root = make_folder()
    damage, where = PROBLEMS[kind]
    damage(root)
    report = check(open_celeba(root))
    assert kind in report.problems, report.problems
    line = next(line for line in report.summary().split("\n") if line.startswith(f"problem: {kind} ("))
    assert where in line
    assert f"({len(report.problems[kind])}): " in line
    assert "no problems" not in report.summary()


def test_all_problems_are_reported_at_once(make_folder: Make) -> None:
    root = make_folder(20)
    for name in ("000006.jpg", "000007.jpg", "000008.jpg", "000011.jpg"):
        (root / "images" / name).unlink()
    for damage in (truncated, leak, blank_line, duplicate_partition, bad_partition):
        damage(root)
    report = check(open_celeba(root))
    assert {kind: len(where) for kind, where in report.problems.items()} == {
        "blank lines": 1,
        "files listed twice": 1,
        "malformed partition lines": 1,
        "files without a split": 1,  # the file of the malformed line
        "missing images": 4,
        "unreadable images": 1,  # the other truncated one has no split
        "duplicate images across splits": 1,
    }
    assert "missing images (4): 000006.jpg, 000007.jpg, 000008.jpg, …" in report.summary()


def small(root: Path) -> None:
    Image.new("RGB", (100, 300)).save(root / "images" / "000003.jpg")


def grayscale(root: Path) -> None:
    Image.new("L", (178, 218), 3).save(root / "images" / "000003.jpg")


def copied(root: Path) -> None:
    shutil.copy(root / "images" / "000001.jpg", root / "images" / "000002.jpg")
    edit(root / "list_attr_celeba.txt", lambda rows: [*rows[:3], rows[2].replace("1.jpg", "2.jpg"), *rows[4:]])


NOTES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "unlisted files": (lambda root: (root / "images" / "Thumbs.db").touch(), "Thumbs.db"),
    "images of mode L, converted to RGB": (grayscale, "000003.jpg"),
    "duplicate images": (copied, "000001.jpg (train) = 000002.jpg (train)"),
    "wrong counts in line 1 of the attribute file": (
        lambda root: edit(root / "list_attr_celeba.txt", lambda rows: ["7", *rows[1:]]),
        "'7' for 25 rows",
    ),
    "files with a split but no attributes": (
        lambda root: edit(root / "list_eval_partition.txt", lambda rows: ["0.jpg 1", *rows]),
        "0.jpg",
    ),
}


def test_harmless_findings_are_notes(make_folder: Make, tmp_path: Path) -> None:
    root = make_folder(25)
    for kind, (change, where) in NOTES.items():
        copy = shutil.copytree(root, tmp_path / "copy")
        change(copy)
        report = check(open_celeba(copy))
        assert report.problems == {} and where in report.notes[kind][0], kind
        open_celeba(copy).prepare()
        shutil.rmtree(copy)


def test_class_folders(make_tree: Make) -> None:
    root = make_tree(("angry", "happy", "sad"), train=4, test=2)

    def check_folder() -> Report:
        return check(image_folder("rafd", 16, root.parent / "outputs", root=str(root), classes=("sad", "angry")))

    report = check_folder()
    assert (report.problems, report.counts) == ({}, {"train": 8, "test": 4})
    assert report.balance["sad"] == {"train": 0.5, "test": 0.5}
    assert report.notes == {"unselected classes": ["train/happy", "test/happy"]}
    shutil.copy(root / "train" / "sad" / "sad0.png", root / "test" / "sad" / "sad1.png")
    shutil.copy(root / "train" / "sad" / "sad0.png", root / "train" / "angry" / "angry1.png")
    (root / "train" / "angry" / "angry2.png").write_bytes(b"\x89PNG\r\n")
    (root / "train" / "loose.png").touch()
    (root / "test" / "sad" / "notes.txt").touch()
    (root / "val").mkdir()
    report = check_folder()
    assert set(report.problems) == {
        "duplicate images with different labels",
        "duplicate images across splits",
        "unreadable images",
    }
    assert report.problems["unreadable images"][0].startswith("train/angry/angry2.png: cannot decode image (")
    assert report.notes["directories other than train, valid and test"] == ["val"]
    assert report.notes["images outside class directories"] == ["train/loose.png"]
    assert report.notes["unlisted files"] == ["test/sad/notes.txt"]
    shutil.rmtree(root / "test" / "sad")
    assert (
        check_folder()
        .problems["splits whose classes differ from train"][0]
        .startswith("test: class directories differ")
    )
    (root / "test" / "sad").mkdir()
    assert check_folder().problems["empty class directories"] == ["test/sad: contains no images"]


def test_synthfaces_have_no_problems(tmp_path: Path) -> None:
    report = check(synthfaces("faces", 32, tmp_path, train=20, valid=0, test=4, attributes=("Male", "Young")))
    assert (sum(report.counts.values()), report.problems) == (24, {})
    assert report.modes == {"RGB": 24}


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    report = check(open_celeba(tmp_path / "absent"))
    assert "absent: expected CelebA's layout" in report.problems["unreadable dataset"][0]


def test_wrong_options_are_refused(make_folder: Make) -> None:
    with pytest.raises(ConfigError, match="did you mean 'Male'"):
        check(open_celeba(make_folder(), attributes=("Mael",)))


def test_files_this_machine_cannot_read_are_reported_like_damaged_ones(make_folder: Make) -> None:
    root = make_folder()
    (root / "images" / "000001.jpg").unlink()
    (root / "images" / "000001.jpg").mkdir()
    (root / "images" / "000002.jpg").write_text("<html>404</html>")
    assert check(open_celeba(root)).problems["unreadable images"] == [
        "000001.jpg: cannot be read (Is a directory)",
        "000002.jpg: cannot decode image (unknown image format)",
    ]


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_ignored_exif_orientations_are_noted(suffix: str, make_tree: Make) -> None:
    root = make_tree()
    for number, orientation in enumerate((1, 6, 3)):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("RGB", (24, 30), (number, 0, 0)).save(root / "train" / "sad" / f"x{number}.{suffix}", exif=exif)
    source = image_folder("rafd", 16, root.parent / "outputs", root=str(root))
    report = check(source)
    kind = "images with an EXIF orientation, which training ignores"
    assert report.notes[kind] == [f"train/sad/x1.{suffix}", f"train/sad/x2.{suffix}"]
    assert f"note: {kind} (2): train/sad/x1.{suffix}, " in report.summary()
    assert report.problems == {}
    assert kind not in check(image_folder("rafd", 16, root, root=str(make_tree(name="other")))).notes
