"""Reading CelebA: lists, the two splits, fingerprints, the packed cache, and errors that name the file."""

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
from PIL import Image

from stargan_lab.data.annotations import read_attributes, split_rows
from stargan_lab.data.celeba import celeba
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.registry import family

REFERENCE = Path(__file__).parents[1] / "reference"
CHOSEN = ("Young", "Black_Hair", "Blond_Hair")
MakeFolder = Callable[..., Path]


def opened(root: Path, **options: Any) -> PackedSource:
    outputs = root.parent / "outputs"
    return celeba("celeba", 32, outputs, root=str(root), attributes=options.pop("attributes", CHOSEN), **options)


def test_reference_split_is_the_references() -> None:
    expected = json.loads((REFERENCE / "split_small.json").read_text())
    listed = read_attributes(REFERENCE / "list_attr_small.txt")
    labels = listed.columns(expected["selected_attrs"]).astype(int)
    random.seed(5)
    state = random.getstate()
    rows = split_rows(listed, "reference")
    assert random.getstate() == state
    assert list(rows) == ["train", "test"]
    for which, found in rows.items():
        names = [listed.files[row] for row in found]
        assert len(names) == expected[which]["count"]
        assert names[:20] == expected[which]["first_20"]
        assert labels[found[:20]].tolist() == expected[which]["first_20_labels"]
        assert hashlib.sha256("\n".join(names).encode()).hexdigest() == expected[which]["sha256"]
        lines = [f"{listed.files[row]} {''.join(map(str, labels[row]))}" for row in found]
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == expected[which]["labels_sha256"]


def test_reference_split_needs_two_thousand(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match=r"2,000, got 10; use split=official"):
        opened(make_folder(), split="reference").prepare()


@pytest.mark.parametrize("folder", ["images", "img_align_celeba"])
def test_official_split_serves_the_right_images(folder: str, make_folder: MakeFolder) -> None:
    root = make_folder(10, folder)
    source = opened(root)
    source.prepare()
    assert source.splits() == ["train", "valid", "test"]
    assert source.spec.groups == (("Black_Hair", "Blond_Hair"),)
    test = source.split("test")
    assert list(test.names) == ["000005.jpg", "000010.jpg"]
    with Image.open(root / folder / "000010.jpg") as image:
        expected = image.crop((0, 20, 178, 198)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(test.images([1])[0].numpy(), np.asarray(expected).transpose(2, 0, 1))
    fields = (root / "list_attr_celeba.txt").read_text().split("\n")[11].split()
    assert test.labels[1].tolist() == [float(fields[i] == "1") for i in (5, 2, 3)]
    assert test.labels.dtype == torch.float32
    with pytest.raises(DataError, match="did you mean 'train'"):
        source.split("trian")


def test_limits_take_the_first(make_folder: MakeFolder) -> None:
    source = opened(make_folder(), max_train=2, max_test=1)
    assert [len(source.split(which)) for which in source.splits()] == [2, 2, 1]
    assert list(source.split("train").names) == ["000001.jpg", "000002.jpg"]


def test_constructor_touches_nothing(tmp_path: Path) -> None:
    source = opened(tmp_path / "absent")
    assert source.spec.names == CHOSEN
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match=r"absent: expected CelebA there.*data=synthfaces trains on drawn faces"):
        source.prepare()


def test_fingerprint_follows_content_and_selection(make_folder: MakeFolder) -> None:
    root = make_folder()
    base = opened(root).fingerprint
    assert opened(root).fingerprint == base
    others = [
        opened(root, attributes=CHOSEN[::-1]),
        opened(root, crop=100),
        opened(root, max_train=3),
        celeba("celeba", 16, root.parent / "outputs", root=str(root), attributes=CHOSEN),
    ]
    prints = {base} | {source.fingerprint for source in others}
    assert len(prints) == 5
    moved = root.rename(root.parent / "elsewhere")
    assert opened(moved).fingerprint == base
    os.utime(moved / "images" / "000001.jpg")
    assert opened(moved).fingerprint == base
    Image.new("RGB", (178, 218), "red").save(moved / "images" / "000001.jpg")
    changed = opened(moved).fingerprint
    assert changed != base
    text = (moved / "list_eval_partition.txt").read_text()
    (moved / "list_eval_partition.txt").write_text(text.replace("000001.jpg 0", "000001.jpg 2"))
    assert opened(moved).fingerprint not in (base, changed)


def test_packed_once_and_again_when_images_change(make_folder: MakeFolder) -> None:
    root = make_folder()
    before = opened(root).split("train").images([0])
    cache = root.parent / "outputs" / "cache" / "packed"
    assert len(list(cache.glob("*.npy"))) == 1
    opened(root, attributes=("Male",)).split("train")  # other labels, same pixels: nothing packed anew
    assert len(list(cache.glob("*.npy"))) == 1
    Image.new("RGB", (178, 218), "red").save(root / "images" / "000001.jpg")
    after = opened(root).split("train").images([0])
    assert not torch.equal(before, after)


def test_failed_packing_leaves_nothing(make_folder: MakeFolder) -> None:
    root = make_folder()
    path = root / "images" / "000007.jpg"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"000007\.jpg: not readable as an image"):
        opened(root).prepare()
    assert [p for p in (root.parent / "outputs" / "cache" / "packed").iterdir() if p.suffix != ".lock"] == []


def broken(root: Path, what: str) -> None:
    attributes, partition = root / "list_attr_celeba.txt", root / "list_eval_partition.txt"
    lines = attributes.read_text().split("\n")
    if what == "blank":
        lines.insert(5, "  ")
    elif what == "short":
        lines[4] = lines[4].rsplit(None, 1)[0]
    elif what == "value":
        lines[4] = lines[4].rsplit(None, 1)[0] + " yes"
    attributes.write_text("\n".join(lines))
    if what == "no list":
        attributes.unlink()
    elif what == "no partition":
        partition.unlink()
    elif what == "partition row":
        partition.write_text(partition.read_text().replace("000003.jpg 0", "000003.jpg 7"))
    elif what == "partition gap":
        partition.write_text(partition.read_text().replace("000003.jpg 0\n", ""))
    elif what == "image":
        (root / "images" / "000004.jpg").unlink()


@pytest.mark.parametrize(
    "what, message",
    [
        ("blank", r"list_attr_celeba\.txt: line 6 is blank"),
        ("short", r"list_attr_celeba\.txt: line 5: 4 values for 5"),
        ("value", r"list_attr_celeba\.txt: line 5: .*'yes'"),
        ("no list", r"list_attr_celeba\.txt: the file is missing"),
        ("no partition", r"list_eval_partition\.txt: the file is missing"),
        ("partition row", r"list_eval_partition\.txt: line 3: .*'000003.jpg 7'"),
        ("partition gap", r"list_eval_partition\.txt: no line for 000003\.jpg"),
        ("image", r"000004\.jpg: the image is missing"),
    ],
)
def test_damage_is_named_in_one_line(what: str, message: str, make_folder: MakeFolder) -> None:
    root = make_folder()
    broken(root, what)
    with pytest.raises(DataError, match=message) as caught:
        opened(root).prepare()
    assert "\n" not in str(caught.value)


def test_trailing_blank_lines_are_no_damage(make_folder: MakeFolder) -> None:
    root = make_folder()
    with (root / "list_attr_celeba.txt").open("a") as file:
        file.write("\n  \n")
    assert len(opened(root).split("train")) == 6


def test_unknown_attribute_names_the_nearest(make_folder: MakeFolder) -> None:
    with pytest.raises(ConfigError, match=r"unknown attribute 'Blond_Hiar'; did you mean 'Blond_Hair'\?"):
        opened(make_folder(), attributes=("Blond_Hiar",)).prepare()
    with pytest.raises(ConfigError, match=r"data\.sources\.celeba\.attributes"):
        celeba("celeba", 32, Path("o"), root="x", attributes=("Male", "Male"))


def test_open_sources(tmp_path: Path) -> None:
    sources = open_sources(
        {"a": {"kind": "synthfaces"}, "b": {"kind": "celeba", "root": "x", "attributes": CHOSEN}}, 32, tmp_path
    )
    assert [source.name for source in sources] == ["a", "b"]
    with pytest.raises(ConfigError, match="did you mean 'celeba'"):
        open_sources({"a": {"kind": "celebra"}}, 32, tmp_path)
    with pytest.raises(ConfigError, match=r"data\.sources\.a\.kind is missing; one of celeba, image_folder, synth"):
        open_sources({"a": {}}, 32, tmp_path)
    with pytest.raises(ConfigError, match="at least one"):
        open_sources({}, 32, tmp_path)


FILES = {"celeba": "celeba", "image_folder": "rafd", "synthexpressions": "synthexpressions", "synthfaces": "synthfaces"}


@pytest.mark.parametrize("kind", family("dataset").names())
def test_yaml_states_every_option(kind: str) -> None:
    import yaml

    group = yaml.safe_load((Path(__file__).parents[2] / "conf" / "data" / f"{FILES[kind]}.yaml").read_text())
    assert set(group) == {"image_size", "sources"}
    (options,) = group["sources"].values()
    assert options.pop("kind") == kind
    parameters = family("dataset").options(kind)
    assert set(options) == set(parameters)
    if kind == "image_folder":
        assert options.pop("crop") == 256  # RaFD's, not any tree's
    for name in options:
        if (default := parameters[name].default) is not inspect.Parameter.empty:
            assert options[name] == json.loads(json.dumps(default)), name
