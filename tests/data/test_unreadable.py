"""Unreadable images and malformed rows: training stops before it starts, or skips them; fingerprints of both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab.data import pack_file
from stargan_lab.data.celeba import celeba
from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.synthfaces.dataset import synthfaces
from stargan_lab.errors import DataError

Make = Callable[..., Path]
BROKEN = ("000002.jpg", "000003.jpg", "000010.jpg")


def open_celeba(root: Path, **options: Any) -> PackedSource:
    options = {"attributes": ("Male", "Young"), **options}
    return celeba("celeba", 16, root.parent / "outputs", root=str(root), **options)


def damage(root: Path) -> None:
    """A missing, a truncated and a text file, one of them in the test split."""
    images = root / "images"
    (images / BROKEN[0]).unlink()
    (images / BROKEN[1]).write_bytes((images / BROKEN[1]).read_bytes()[:4000])
    (images / BROKEN[2]).write_text("not an image")


def test_stop_names_the_file_and_what_to_do(make_folder: Make) -> None:
    root = make_folder()
    path = root / "images" / "000007.jpg"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError) as caught:
        open_celeba(root).prepare()
    message = str(caught.value)
    assert "000007.jpg: cannot decode image (image file is truncated" in message and "\n" not in message
    assert "run `stargan-lab data check`" in message and "set data.sources.celeba.unreadable=skip" in message


def test_missing_files_are_counted_before_anything_is_packed(make_folder: Make) -> None:
    root = make_folder()
    for i in (1, 2, 3):
        (root / "images" / f"00000{i}.jpg").unlink()
    with pytest.raises(DataError, match=r"000001\.jpg: no such file \(3 of 6 are missing\)"):
        _ = open_celeba(root).fingerprint


def test_skip_keeps_names_labels_and_pixels_aligned(make_folder: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder()
    complete = open_celeba(root)
    complete.prepare()
    damage(root)
    source = open_celeba(root, unreadable="skip")
    source.prepare()
    lines = [line for line in capsys.readouterr().err.split("\n") if "skipped" in line]
    assert lines == [f"celeba: skipped 3 of 10 images (unreadable): {', '.join(BROKEN)}"]
    for which in source.splits():
        before, after = complete.split(which), source.split(which)
        rows = [i for i, name in enumerate(before.names) if name not in BROKEN]
        assert list(after.names) == [before.names[i] for i in rows]
        assert torch.equal(after.labels, before.labels[rows])
        assert torch.equal(after.images(range(len(after))), before.images(rows))
    assert [len(source.split(which)) for which in source.splits()] == [4, 2, 1]


def test_results_of_skipping_are_cached(make_folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder()
    complete = (root / "images" / BROKEN[1]).read_bytes()
    damage(root)
    first = open_celeba(root, unreadable="skip")
    first.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(pack_file, "decode", lambda *_: pytest.fail("decoded again"))
        again = open_celeba(root, unreadable="skip")
        again.prepare()
        assert again.skipped_images() == first.skipped_images() == list(BROKEN)
        assert again.fingerprint == first.fingerprint
    (root / "images" / BROKEN[1]).write_bytes(complete)  # until a file changes
    assert open_celeba(root, unreadable="skip").skipped_images() == [BROKEN[0], BROKEN[2]]


def test_fingerprint_depends_on_the_readable_images_only(make_folder: Make) -> None:
    root = make_folder()
    base = open_celeba(root).fingerprint
    assert open_celeba(root, unreadable="skip").fingerprint == base
    damage(root)
    skipped = open_celeba(root, unreadable="skip").fingerprint
    assert skipped != base
    (root / "images" / BROKEN[2]).write_text("still not an image")
    assert open_celeba(root, unreadable="skip").fingerprint == skipped
    for file in ("list_attr_celeba.txt", "list_eval_partition.txt"):  # as if they had never been listed
        lines = (root / file).read_text().split("\n")
        (root / file).write_text("\n".join(line for line in lines if line.split(" ")[0] not in BROKEN))
    assert open_celeba(root).fingerprint == skipped
    assert open_celeba(root).split("train").path == open_celeba(root, unreadable="skip").split("train").path


def test_limits_count_listed_images(make_folder: Make) -> None:
    root = make_folder()
    damage(root)
    assert list(open_celeba(root, unreadable="skip", max_train=3).split("train").names) == ["000001.jpg"]


def test_a_split_without_readable_images_is_refused(make_folder: Make) -> None:
    root = make_folder()
    for i in (5, 10):
        (root / "images" / f"{i:06d}.jpg").write_text("not an image")
    with pytest.raises(DataError, match=r"all 2 test images are unreadable, e\.g\. .*000005\.jpg: cannot decode"):
        open_celeba(root, unreadable="skip").prepare()


def test_files_this_machine_cannot_read_are_never_skipped(make_folder: Make) -> None:
    root = make_folder()
    (root / "images" / "000001.jpg").unlink()
    (root / "images" / "000001.jpg").mkdir()
    with pytest.raises(DataError, match=r"000001\.jpg: cannot be read \(Is a directory\)"):
        open_celeba(root, unreadable="skip").prepare()


def test_class_folders(make_tree: Make) -> None:
    root = make_tree()
    (root / "train" / "sad" / "sad0.png").write_text("not an image")
    with pytest.raises(DataError, match=r"train/sad/sad0\.png: cannot decode .*data\.sources\.rafd\.unreadable=skip"):
        image_folder("rafd", 16, root.parent / "outputs", root=str(root)).prepare()
    source = image_folder("rafd", 16, root.parent / "outputs", root=str(root), unreadable="skip")
    train = source.split("train")
    assert train.labels.sum(0).tolist() == [4, 4, 3]
    assert [Path(name).parts[1] for name in train.names] == [source.spec.names[i] for i in train.labels.argmax(1)]


def test_damaged_synthfaces_can_be_generated_again(tmp_path: Path) -> None:
    source = synthfaces("faces", 16, tmp_path, train=4, valid=0, test=2)
    source.splits()
    (source.root / "images" / "000002.png").write_bytes(b"")
    with pytest.raises(DataError, match=rf"000002\.png: .* is empty\); delete {source.root} to generate it again"):
        source.prepare()


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().split("\n"))))


def damage_rows(root: Path) -> set[str]:
    """One row with each kind of problem; returns the images without a valid row in both files."""

    def attributes(lines: list[str]) -> list[str]:
        short, bad = lines[2].rsplit(None, 1)[0], lines[3].rsplit(None, 1)[0] + " yes"
        return [*lines[:2], short, bad, "  ", *lines[4:8], lines[7].replace(" 1", " -1"), *lines[8:]]

    def partition(lines: list[str]) -> list[str]:
        return [lines[0], "", *lines[1:6], "000007.jpg 7", *lines[8:10], lines[9]]  # bad 7, no 8, two of 10

    edit(root / "list_attr_celeba.txt", attributes)
    edit(root / "list_eval_partition.txt", partition)
    return {"000001.jpg", "000002.jpg", "000007.jpg", "000008.jpg"}


def labels_by_name(source: PackedSource) -> dict[str, list[float]]:
    splits = [source.split(which) for which in source.splits()]
    return {n: row.tolist() for split in splits for n, row in zip(split.names, split.labels, strict=True)}


def test_malformed_rows_are_skipped_too(make_folder: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder()
    before = labels_by_name(open_celeba(root))
    removed = damage_rows(root)
    with pytest.raises(DataError, match=r"line 3: 4 values for 5 .*`stargan-lab data check` .*unreadable=skip"):
        open_celeba(root).prepare()
    source = open_celeba(root, unreadable="skip")
    source.prepare()
    lines = [line for line in capsys.readouterr().err.split("\n") if "skipped" in line]
    assert lines == [
        "celeba: skipped 9 malformed rows of the annotation files: list_attr_celeba.txt: line 3: 4 values for 5"
        " attributes, list_attr_celeba.txt: line 4: expected 1 or -1 for 000002.jpg, got 'yes',"
        " list_attr_celeba.txt: line 5 is blank, …"
    ]
    assert labels_by_name(source) == {name: labels for name, labels in before.items() if name not in removed}
    fingerprint = source.fingerprint
    edit(root / "list_attr_celeba.txt", lambda lines: [x for i, x in enumerate(lines) if i not in (2, 3, 4, 9)])
    edit(root / "list_eval_partition.txt", lambda lines: [x for i, x in enumerate(lines) if i not in (1, 7, 10)])
    edit(root / "list_attr_celeba.txt", lambda lines: [x for x in lines if x.split(" ")[0] not in removed])
    assert open_celeba(root).fingerprint == fingerprint


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("list_eval_partition.txt", None, r"list_eval_partition\.txt: no such file"),
        ("list_attr_celeba.txt", "1\nMale Young\n", "expected a count, a line of attribute names and at least one"),
        (
            "list_attr_celeba.txt",
            "1\nMale Young\na.jpg 1\nb.jpg 1\n",
            "no images left: 2 rows .*1 values for 2",
        ),
    ],
)
def test_skip_does_not_cover_unusable_annotation_files(
    file: str, text: str | None, message: str, make_folder: Make
) -> None:
    root = make_folder()
    (root / file).unlink() if text is None else (root / file).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_celeba(root, unreadable="skip").prepare()
    assert "\n" not in str(caught.value) and "unreadable=skip" not in str(caught.value)
