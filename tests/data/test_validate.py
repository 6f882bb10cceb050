"""`data check` finds each kind of damage, with a count and the first names, and says how balanced the labels are."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from stargan_lab.data.annotations import read_attributes
from stargan_lab.data.celeba import celeba, synthfaces
from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.data.validate import Report, check
from stargan_lab.errors import ConfigError

Make = Callable[..., Path]


def opened(root: Path, **options: Any) -> PackedSource:
    options = {"attributes": ("Male", "Young"), **options}
    return celeba("celeba", 32, root.parent / "outputs", root=str(root), **options)


def test_sound_folder(make_folder: Make) -> None:
    root = make_folder()
    report = check(opened(root))
    assert report.problems == {}
    assert set(report.remarks) == {"labels that are the same in all images of a split"}  # by chance, in the test split
    assert report.sizes == {(178, 218): 10}
    assert report.counts == {"train": 6, "valid": 2, "test": 2}
    listed = read_attributes(root / "list_attr_celeba.txt")
    column = listed.columns(["Blond_Hair"])[:, 0]  # not selected: a person may want to know before selecting it
    assert report.balance["Blond_Hair"]["test"] == pytest.approx(np.mean([column[4], column[9]]))
    assert "no problems" in report.summary()


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().split("\n"))))


def blank_line(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:5], "  ", *lines[5:]])


def short_row(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:4], lines[4].rsplit(None, 1)[0], *lines[5:]])


def odd_value(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:4], lines[4].rsplit(None, 1)[0] + " yes", *lines[5:]])


def listed_twice(root: Path) -> None:
    edit(root / "list_attr_celeba.txt", lambda lines: [*lines[:11], lines[8], *lines[11:]])


def part_twice(root: Path) -> None:
    edit(root / "list_eval_partition.txt", lambda lines: [*lines[:2], lines[1], *lines[2:]])


def odd_part(root: Path) -> None:
    edit(root / "list_eval_partition.txt", lambda lines: [*lines[:2], "000003.jpg 7", *lines[3:]])


def no_part(root: Path) -> None:
    edit(root / "list_eval_partition.txt", lambda lines: [*lines[:7], *lines[8:]])


def constant(root: Path) -> None:
    def same(lines: list[str]) -> list[str]:
        return [*lines[:2], *(line.rsplit(None, 1)[0] + " -1" for line in lines[2:] if line)]

    edit(root / "list_attr_celeba.txt", same)


def truncated(root: Path) -> None:
    for name in ("000002.jpg", "000003.jpg"):
        path = root / "images" / name
        path.write_bytes(path.read_bytes()[:4000])


def no_image(root: Path) -> None:
    (root / "images" / "000002.jpg").write_text("<html>404</html>")


def leak(root: Path) -> None:
    """An image of train again in test, under another name and with other bytes."""
    with Image.open(root / "images" / "000001.jpg") as image:
        image.convert("RGB").save(root / "images" / "000005.jpg", "PNG")


def contradiction(root: Path) -> None:
    shutil.copy(root / "images" / "000001.jpg", root / "images" / "000002.jpg")


PROBLEMS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "blank line": (blank_line, "blank lines", "list_attr_celeba.txt: line 6 is blank"),
    "short row": (short_row, "rows with a wrong number of values", "line 5: 4 values for 5 attributes"),
    "odd value": (odd_value, "values other than 1, -1 and 0", "expected 1 or -1 for 000003.jpg, got 'yes'"),
    "twice": (listed_twice, "files listed twice", "line 12: 000007.jpg is listed twice, in line 9 already"),
    "part twice": (part_twice, "files listed twice", "list_eval_partition.txt: line 3: 000002.jpg is listed twice"),
    "odd part": (odd_part, "lines that are no file name and split", "line 3: expected a file name and 0, 1 or 2"),
    "no part": (no_part, "files without a split", "no line for 000008.jpg"),
    "no partition": (
        lambda root: (root / "list_eval_partition.txt").unlink(), "missing lists", "split=reference does without",
    ),
    "no list": (
        lambda root: (root / "list_attr_celeba.txt").unlink(), "what cannot be read at all", "the file is missing",
    ),
    "constant": (constant, "labels that are the same in all images of a split", "Young in train"),
    "missing": (
        lambda root: [(root / "images" / f"00000{i}.jpg").unlink() for i in (6, 7)],
        "images listed but missing", "000006.jpg, 000007.jpg",
    ),
    "truncated": (truncated, "unreadable images", "000002.jpg (image file is truncated"),
    "no image": (no_image, "unreadable images", "000002.jpg (a format that PIL does not know)"),
    "leak": (leak, "images that are in two splits under two names", "000001.jpg (train) = 000005.jpg (test)"),
    "contradiction": (
        contradiction, "images that are there twice, with different labels", "000001.jpg (train) = 000002.jpg (train)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PROBLEMS)
def test_each_problem_is_found_and_named(what: str, make_folder: Make) -> None:
    root = make_folder()
    damage, kind, where = PROBLEMS[what]
    damage(root)
    report = check(opened(root))
    assert kind in report.problems, report.problems
    line = next(line for line in report.summary().split("\n") if line.startswith(f"problem: {kind} ("))
    assert where in line
    assert f"({len(report.problems[kind])}): " in line
    assert "no problems" not in report.summary()


def test_all_damage_is_found_at_once(make_folder: Make) -> None:
    root = make_folder(20)
    for name in ("000006.jpg", "000007.jpg", "000008.jpg", "000011.jpg"):
        (root / "images" / name).unlink()
    for damage in (truncated, leak, blank_line, odd_part):
        damage(root)
    report = check(opened(root))
    found = {kind: len(where) for kind, where in report.problems.items()}
    assert found == {
        "blank lines": 1,
        "lines that are no file name and split": 1,
        "files without a split": 1,  # that of the line before
        "images listed but missing": 4,
        "unreadable images": 1,  # the other truncated one has no split any more
        "images that are in two splits under two names": 1,
    }
    assert "images listed but missing (4): 000006.jpg, 000007.jpg, 000008.jpg, …" in report.summary()


def small(root: Path) -> None:
    Image.new("RGB", (100, 300)).save(root / "images" / "000003.jpg")


def grey(root: Path) -> None:
    Image.new("L", (178, 218), 3).save(root / "images" / "000003.jpg")


def copied(root: Path) -> None:
    shutil.copy(root / "images" / "000001.jpg", root / "images" / "000002.jpg")
    edit(root / "list_attr_celeba.txt", lambda rows: [*rows[:3], rows[2].replace("1.jpg", "2.jpg"), *rows[4:]])


REMARKS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "unlisted": (
        lambda root: (root / "images" / "Thumbs.db").touch(), "files present but not listed", "Thumbs.db",
    ),
    "small": (small, "images smaller than the crop of 178 px, padded with black", "000003.jpg"),
    "grey": (grey, "images of mode L, read as RGB", "000003.jpg"),
    "copied": (copied, "images that are there twice", "000001.jpg (train) = 000002.jpg (train)"),
    "count": (
        lambda root: edit(root / "list_attr_celeba.txt", lambda rows: ["7", *rows[1:]]),
        "wrong counts in line 1 of the attribute list", "'7' for 25 lines",
    ),
    "more parts": (
        lambda root: edit(root / "list_eval_partition.txt", lambda rows: ["0.jpg 1", *rows]),
        "files with a split but no attributes", "0.jpg",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REMARKS)
def test_remarks_are_no_problems(what: str, make_folder: Make) -> None:
    root = make_folder(25)
    change, kind, where = REMARKS[what]
    change(root)
    report = check(opened(root))
    assert report.problems == {}
    assert where in report.remarks[kind][0]
    opened(root).prepare()  # none of them keeps the data from being used


def test_a_tree_of_classes(make_tree: Make) -> None:
    root = make_tree(("angry", "happy", "sad"), train=4, test=2)

    def look() -> Report:
        return check(image_folder("rafd", 16, root.parent / "outputs", root=str(root), classes=("sad", "angry")))

    report = look()
    assert (report.problems, report.counts) == ({}, {"train": 8, "test": 4})
    assert report.balance["sad"] == {"train": 0.5, "test": 0.5}
    assert report.remarks == {"class folders not selected": ["train/happy", "test/happy"]}
    shutil.copy(root / "train" / "sad" / "sad0.png", root / "test" / "sad" / "sad1.png")
    shutil.copy(root / "train" / "sad" / "sad0.png", root / "train" / "angry" / "angry1.png")
    (root / "train" / "angry" / "angry2.png").write_bytes(b"\x89PNG\r\n")
    (root / "train" / "loose.png").touch()
    (root / "test" / "sad" / "notes.txt").touch()
    (root / "val").mkdir()
    report = look()
    assert set(report.problems) == {
        "images that are there twice, with different labels",
        "images that are in two splits under two names",
        "unreadable images",
    }
    assert report.problems["unreadable images"][0].startswith("train/angry/angry2.png (")
    assert report.remarks["folders that are no split"] == ["val"]
    assert report.remarks["images outside of class folders"] == ["train/loose.png"]
    assert report.remarks["files present but not listed"] == ["test/sad/notes.txt"]
    shutil.rmtree(root / "test" / "sad")
    assert look().problems["splits with other classes than train"][0].startswith("test: lacks sad")
    (root / "test" / "sad").mkdir()
    assert look().problems["empty class folders"] == ["test/sad: no image there"]


def test_drawn_source(tmp_path: Path) -> None:
    report = check(synthfaces("faces", 32, tmp_path, train=20, valid=0, test=4, attributes=("Male", "Young")))
    assert (report.images, report.problems) == (24, {})
    assert report.modes == {"RGB": 24}


def test_nothing_there(tmp_path: Path) -> None:
    report = check(opened(tmp_path / "absent"))
    assert "absent: expected CelebA there" in report.summary()
    assert report.problems


def test_wrong_options_are_refused(make_folder: Make) -> None:
    with pytest.raises(ConfigError, match="did you mean 'Male'"):
        check(opened(make_folder(), attributes=("Mael",)))


def test_what_this_machine_cannot_read_does_not_end_it(make_folder: Make) -> None:
    root = make_folder()
    (root / "images" / "000001.jpg").unlink()
    (root / "images" / "000001.jpg").mkdir()
    no_image(root)
    assert check(opened(root)).problems["unreadable images"] == [
        "000001.jpg cannot be read (Is a directory)",
        "000002.jpg (a format that PIL does not know)",
    ]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_images_that_a_viewer_would_turn_are_remarked(suffix: str, make_tree: Make) -> None:
    root = make_tree()
    for number, orientation in enumerate((1, 6, 3)):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("RGB", (24, 30), (number, 0, 0)).save(root / "train" / "sad" / f"x{number}.{suffix}", exif=exif)
    source = image_folder("rafd", 16, root.parent / "outputs", root=str(root))
    report = check(source)
    kind = "images with an EXIF orientation, which training does not heed"
    assert report.remarks[kind] == [f"train/sad/x1.{suffix}", f"train/sad/x2.{suffix}"]
    assert f"remark: {kind} (2): train/sad/x1.{suffix}, " in report.summary()
    assert report.problems == {}
    assert kind not in check(image_folder("rafd", 16, root, root=str(make_tree(name="other")))).remarks
