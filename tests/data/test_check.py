"""`data check` finds each kind of damage and says how balanced the labels are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stargan_lab.data.celeba import synthfaces
from stargan_lab.data.check import check
from stargan_lab.data.lists import read_attributes
from stargan_lab.errors import DataError

MakeFolder = Callable[..., Path]


def test_sound_folder(make_folder: MakeFolder) -> None:
    root = make_folder()
    report = check(root)
    assert report.problems == []
    assert report.notes == []
    assert report.sizes == {(178, 218): 10}
    assert report.counts == {"all": 10, "train": 6, "valid": 2, "test": 2}
    listed = read_attributes(root / "list_attr_celeba.txt")
    column = listed.columns(["Male"])[:, 0]
    assert report.balance["Male"]["all"] == pytest.approx(column.mean())
    assert report.balance["Male"]["test"] == pytest.approx(np.mean([column[4], column[9]]))
    assert "no problems" in report.summary()


def test_every_kind_of_damage_is_found(make_folder: MakeFolder) -> None:
    root = make_folder()
    images, attributes = root / "images", root / "list_attr_celeba.txt"
    (images / "000001.jpg").unlink()
    (images / "000002.jpg").write_bytes((images / "000002.jpg").read_bytes()[:4000])
    Image.new("L", (100, 90)).save(images / "000003.jpg")
    Image.new("CMYK", (178, 218)).save(images / "000004.jpg")
    lines = attributes.read_text().split("\n")
    attributes.write_text("\n".join([*lines[:4], "", *lines[4:11], lines[8], *lines[11:]]))
    partition = root / "list_eval_partition.txt"
    partition.write_text(partition.read_text().replace("000008.jpg 0\n", ""))
    report = check(root)
    found = "\n".join(report.problems)
    assert len(report.problems) == 5
    for piece in ("000001.jpg: the image is missing", "000002.jpg: not readable", "line 5 is blank", "listed twice"):
        assert piece in found
    assert "no line for 000008.jpg" in found
    assert "1 images are of mode L, read as RGB" in report.notes
    assert "1 images are of mode CMYK, read as RGB" in report.notes
    assert any("2 different sizes" in note for note in report.notes)
    assert any("line 1 says '10' images, 12 follow" in note for note in report.notes)
    assert "problem: " in report.summary()
    assert "no problems" not in report.summary()


def test_drawn_source(tmp_path: Path) -> None:
    report = check(synthfaces("faces", 32, tmp_path, train=20, valid=0, test=4))
    assert (report.images, report.problems) == (24, [])
    assert report.modes == {"RGB": 24}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder images or img_align_celeba"):
        check(tmp_path)
