"""Reading CelebA: annotation files, both splits, fingerprints, the packed cache, and error messages."""

import hashlib
import inspect
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from stargan_lab.data.celeba import celeba
from stargan_lab.data.celeba_annotations import AttributeList, read_attributes, split_rows
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.registry import family

REFERENCE = Path(__file__).parents[1] / "reference"
SELECTED = ("Young", "Black_Hair", "Blond_Hair")
MakeFolder = Callable[..., Path]


def open_celeba(root: Path, **options: Any) -> PackedSource:
    outputs = root.parent / "outputs"
    return celeba("celeba", 32, outputs, root=str(root), attributes=options.pop("attributes", SELECTED), **options)


def test_reference_split_matches_the_reference() -> None:
    expected = json.loads((REFERENCE / "split_small.json").read_text())
    listed = read_attributes(REFERENCE / "list_attr_small.txt")
    labels = listed.columns(expected["selected_attrs"]).astype(int)
    random.seed(5)
    state = random.getstate()
    rows = split_rows(listed, "reference")
    assert random.getstate() == state
    assert list(rows) == ["train", "test"]
    for which, indices in rows.items():
        names = [listed.files[row] for row in indices]
        assert len(names) == expected[which]["count"]
        assert names[:20] == expected[which]["first_20"]
        assert labels[indices[:20]].tolist() == expected[which]["first_20_labels"]
        assert hashlib.sha256("\n".join(names).encode()).hexdigest() == expected[which]["sha256"]
        lines = [f"{listed.files[row]} {''.join(map(str, labels[row]))}" for row in indices]
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == expected[which]["labels_sha256"]


def test_reference_split_needs_two_thousand_images(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match=r"at least 2,000 images .*, got 10; set split=official"):
        open_celeba(make_folder(), split="reference").prepare()


def test_hints_about_a_missing_partition_do_not_lead_in_a_circle(make_folder: MakeFolder) -> None:
    root = make_folder()
    (root / "list_eval_partition.txt").unlink()
    with pytest.raises(DataError, match="no such file; write a line `FILE 0`") as official:
        open_celeba(root).prepare()
    assert "split=reference" not in str(official.value), "10 images are too few for it"
    with pytest.raises(DataError, match=r"got 10; write a line `FILE 0`.* to .*list_eval_partition\.txt and set"):
        open_celeba(root, split="reference").prepare()
    many = AttributeList(root / "list_attr_celeba.txt", (), tuple(map(str, range(2000))), np.empty((2000, 0)))
    with pytest.raises(DataError, match="or set split=reference to split without it"):
        split_rows(many, "official")
    assert len(split_rows(many, "reference")["test"]) == 1999


def test_official_split_has_correct_pixels_and_labels(make_folder: MakeFolder) -> None:
    root = make_folder(10, "img_align_celeba")
    with (root / "list_attr_celeba.txt").open("a") as file:
        file.write("\n  \n")  # trailing blank lines are allowed
    source = open_celeba(root)
    source.prepare()
    assert source.splits() == ["train", "valid", "test"]
    assert source.spec.groups == (("Black_Hair", "Blond_Hair"),)
    test = source.split("test")
    assert list(test.names) == ["000005.jpg", "000010.jpg"]
    with Image.open(root / "img_align_celeba" / "000010.jpg") as image:
        expected = image.crop((0, 20, 178, 198)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(test.images([1])[0].numpy(), np.asarray(expected).transpose(2, 0, 1))
    fields = (root / "list_attr_celeba.txt").read_text().split("\n")[11].split()
    assert test.labels[1].tolist() == [float(fields[i] == "1") for i in (5, 2, 3)]
    assert test.labels.dtype == torch.float32
    with pytest.raises(DataError, match="did you mean 'train'"):
        source.split("trian")


def test_limits_take_the_first_images(make_folder: MakeFolder) -> None:
    source = open_celeba(make_folder(), max_train=2, max_test=1)
    assert [len(source.split(which)) for which in source.splits()] == [2, 2, 1]
    assert list(source.split("train").names) == ["000001.jpg", "000002.jpg"]


def test_constructor_does_not_touch_files(tmp_path: Path) -> None:
    source = open_celeba(tmp_path / "absent")
    assert source.spec.names == SELECTED
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        DataError, match=r"absent: expected CelebA's layout: .*data\.sources\.celeba\.root, or data=synthfaces"
    ):
        source.prepare()


def test_fingerprint_depends_on_content_and_selection(make_folder: MakeFolder) -> None:
    root = make_folder()
    base = open_celeba(root).fingerprint
    different = [
        open_celeba(root, attributes=SELECTED[::-1]),
        open_celeba(root, crop=100),
        open_celeba(root, max_train=3),
        celeba("celeba", 16, root.parent / "outputs", root=str(root), attributes=SELECTED),
    ]
    assert len({base} | {source.fingerprint for source in different}) == 5
    moved = root.rename(root.parent / "elsewhere")
    os.utime(moved / "images" / "000001.jpg")
    assert open_celeba(moved).fingerprint == base
    Image.new("RGB", (178, 218), "red").save(moved / "images" / "000001.jpg")
    changed = open_celeba(moved).fingerprint
    assert changed != base
    text = (moved / "list_eval_partition.txt").read_text()
    (moved / "list_eval_partition.txt").write_text(text.replace("000001.jpg 0", "000001.jpg 2"))
    assert open_celeba(moved).fingerprint not in (base, changed)


def test_images_are_packed_once_and_again_after_a_change(make_folder: MakeFolder) -> None:
    root = make_folder()
    before = open_celeba(root).split("train").images([0])
    cache = root.parent / "outputs" / "cache" / "packed"
    packed = sorted(cache.glob("*.npy"))
    assert len(packed) == 3  # every split
    open_celeba(root, attributes=("Male",)).split("train")  # other labels, same pixels
    assert sorted(cache.glob("*.npy")) == packed
    Image.new("RGB", (178, 218), "red").save(root / "images" / "000001.jpg")
    assert not torch.equal(before, open_celeba(root).split("train").images([0]))


def test_failed_packing_leaves_no_file(make_folder: MakeFolder) -> None:
    root = make_folder()
    path = root / "images" / "000007.jpg"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"000007\.jpg: cannot decode image \(image file is truncated"):
        open_celeba(root).prepare()
    assert [p for p in (root.parent / "outputs" / "cache" / "packed").iterdir() if p.suffix != ".lock"] == []


def test_missing_annotation_files_are_named(make_folder: MakeFolder) -> None:
    root = make_folder()
    for name, advice in (("list_eval_partition.txt", "; write a line"), ("list_attr_celeba.txt", "")):
        (root / name).unlink()
        with pytest.raises(DataError, match=f"{name}: no such file{advice}"):
            open_celeba(root).prepare()


def test_wrong_attributes_are_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(ConfigError, match=r"unknown attribute 'Blond_Hiar'; did you mean 'Blond_Hair'\?"):
        open_celeba(make_folder(), attributes=("Blond_Hiar",)).prepare()
    with pytest.raises(ConfigError, match=r"data\.sources\.celeba\.attributes"):
        celeba("celeba", 32, Path("o"), root="x", attributes=("Male", "Male"))


def test_open_sources(tmp_path: Path) -> None:
    sources = open_sources(
        {"a": {"kind": "synthfaces"}, "b": {"kind": "celeba", "root": "x", "attributes": SELECTED}}, 32, tmp_path
    )
    assert [source.name for source in sources] == ["a", "b"]
    with pytest.raises(ConfigError, match="did you mean 'celeba'"):
        open_sources({"a": {"kind": "celebra"}}, 32, tmp_path)


FILES = {"celeba": "celeba", "image_folder": "rafd", "synthexpressions": "synthexpressions", "synthfaces": "synthfaces"}


def test_yaml_has_every_option_with_its_default() -> None:
    for kind in family("dataset").names():
        group = yaml.safe_load((Path(__file__).parents[2] / "conf" / "data" / f"{FILES[kind]}.yaml").read_text())
        (options,) = group["sources"].values()
        assert options.pop("kind") == kind
        parameters = family("dataset").options(kind)
        assert set(options) == set(parameters)
        for name in options:
            if (default := parameters[name].default) is not inspect.Parameter.empty:
                assert options[name] == json.loads(json.dumps(default)), name
