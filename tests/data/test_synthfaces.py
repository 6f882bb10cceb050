"""Drawn datasets: written whole or not at all, never over anything else, and every answer redrawn to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stargan_lab import files
from stargan_lab.batch import target_labels
from stargan_lab.data import synthfaces as module
from stargan_lab.data.celeba import celeba, synthfaces
from stargan_lab.data.lists import read_attributes, read_partition
from stargan_lab.data.source import PackedSource
from stargan_lab.data.synthfaces import SynthSpec, make_synthfaces, read_spec
from stargan_lab.errors import ConfigError, DataError

SMALL = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0)


def opened(outputs: Path, image_size: int = 32, **options: Any) -> PackedSource:
    sizes = {"train": 12, "valid": 3, "test": 5, "seed": 4, "difficulty": 1.0}
    return synthfaces("faces", image_size, outputs, **{**sizes, **options})


def test_written_in_celebas_form(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    listed = read_attributes(root / "list_attr_celeba.txt")
    assert listed.files == tuple(f"{i:06d}.png" for i in range(1, 21))
    assert sorted(path.name for path in (root / "images").iterdir()) == list(listed.files)
    assert list(read_partition(root / "list_eval_partition.txt").values()) == [0] * 12 + [1] * 3 + [2] * 5
    with Image.open(root / "images" / "000020.png") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert read_spec(root) == SMALL
    assert {path.name for path in root.iterdir()} == {
        "images", "list_attr_celeba.txt", "list_eval_partition.txt", "synthfaces.json",
    }  # fmt: skip


def test_image_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    more = opened(tmp_path, train=20, valid=7, test=9)
    fewer = opened(tmp_path)
    for which in fewer.splits():
        n = len(fewer.split(which))
        assert torch.equal(fewer.split(which).images(range(n)), more.split(which).images(range(n)))
        assert torch.equal(fewer.split(which).labels, more.split(which).labels[:n])


def test_splits_share_no_identity() -> None:
    identities = [SMALL.identity(i) for i in range(SMALL.total)]
    assert len(set(identities)) == SMALL.total
    larger = SynthSpec(size=32, train=500, valid=500, test=500)
    by_split = [{larger.identity(i) for i in range(500 * k, 500 * k + 500)} for k in range(3)]
    assert not (by_split[0] & by_split[1] or by_split[0] & by_split[2] or by_split[1] & by_split[2])
    with pytest.raises(DataError, match="no image 21 among 20"):
        SMALL.identity(20)


def test_a_finished_one_is_left_alone_and_another_refused(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    before = (root / "images" / "000001.png").stat().st_mtime_ns
    make_synthfaces(root, SMALL)
    assert (root / "images" / "000001.png").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds something else"):
        make_synthfaces(root, SynthSpec(size=32, train=12, valid=3, test=6, seed=4, difficulty=1.0))
    own = tmp_path / "holiday"
    own.mkdir()
    (own / "photo.txt").write_text("mine")
    with pytest.raises(DataError, match="holiday: holds something else"):
        make_synthfaces(own, SMALL)
    assert (own / "photo.txt").read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    make_synthfaces(empty, SMALL)
    assert read_spec(empty) == SMALL


def test_killed_while_drawing_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "faces"
    stale = tmp_path / ".faces.partial-dead"  # as after a kill -9
    (stale / "images").mkdir(parents=True)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", stop)  # the very last step
        with pytest.raises(KeyboardInterrupt):
            make_synthfaces(root, SMALL)
    assert not root.exists()
    make_synthfaces(root, SMALL)
    assert {path.name for path in tmp_path.iterdir()} <= {"faces", ".faces.lock"}


@pytest.mark.parametrize(
    "image_size, size, crop", [(32, None, None), (32, 48, None), (24, 64, 50), (32, 32, 40), (32, 40, 32)]
)
def test_truth_gives_the_loaders_pixels_for_own_labels(image_size: int, size: int, crop: int, tmp_path: Path) -> None:
    source = opened(tmp_path, image_size, size=size, crop=crop, attributes=("Young", "Blond_Hair"))
    assert source.truth is not None
    for which in source.splits():
        images = source.split(which)
        indices = list(range(len(images)))[::-1]
        own = source.truth.images(which, indices, images.labels[indices])
        assert own.dtype == torch.uint8
        assert torch.equal(own, images.images(indices))


def test_truth_draws_the_target_and_keeps_the_rest(tmp_path: Path) -> None:
    source = opened(tmp_path, difficulty=0.0)
    assert source.truth is not None
    images = source.split("train")
    indices = range(len(images))
    black = target_labels(images.labels, source.spec, source.spec.names.index("Black_Hair"))
    drawn = source.truth.images("train", indices, black).float()
    original = images.images(list(indices)).float()
    top = (slice(None), slice(None), slice(5, 8), slice(14, 18))  # the middle of the hair
    assert drawn[top].mean((1, 2, 3)).max() < 80
    held = images.labels[:, source.spec.names.index("Black_Hair")] == 1
    assert torch.equal(drawn[held], original[held])
    assert torch.equal(drawn[..., :2, :2], original[..., :2, :2])  # the background does not move
    with pytest.raises(DataError, match="two of"):
        source.truth.images("train", [0], torch.ones(1, len(source.spec.names)))


def test_opened_as_celeba_it_has_the_same_images_and_truth(tmp_path: Path) -> None:
    drawn = opened(tmp_path)
    drawn.prepare()
    plain = celeba("faces", 32, tmp_path, root=str(drawn.root), attributes=drawn.spec.names, crop=None)
    images = plain.split("test")
    assert torch.equal(images.images([2, 0]), drawn.split("test").images([2, 0]))
    assert plain.truth is not None
    assert torch.equal(plain.truth.images("test", [2, 0], images.labels[[2, 0]]), images.images([2, 0]))


def test_another_renderer_version_is_not_taken_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    before = SMALL.fingerprint
    monkeypatch.setattr(module, "RENDERER_VERSION", 99)
    assert SMALL.fingerprint != before
    with pytest.raises(DataError, match=r"drawn by version 1 of SynthFaces, this is 99"):
        make_synthfaces(root, SMALL)
    with pytest.raises(DataError, match="drawn by version 1"):
        _ = celeba("faces", 32, tmp_path, root=str(root), attributes=("Male",)).truth


def test_fingerprint_needs_no_file_and_follows_the_spec(tmp_path: Path) -> None:
    base = opened(tmp_path).fingerprint
    assert list(tmp_path.iterdir()) == []
    assert opened(tmp_path / "other").fingerprint == base
    assert opened(tmp_path, difficulty=1).fingerprint == base
    for change in (
        {"seed": 5},
        {"train": 13},
        {"difficulty": 0.9},
        {"crop": 30},
        {"size": 64},
        {"attributes": ("Male",)},
    ):
        assert opened(tmp_path, **change).fingerprint != base


def test_bad_options_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.sources\.faces\.attributes: unknown attribute 'Mael'; did you mean 'Male'"
    ):
        opened(tmp_path, attributes=("Mael",))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        SynthSpec(size=32, train=1, valid=0, test=0, difficulty=1.5)
    with pytest.raises(ConfigError, match="expected size"):
        SynthSpec(size=32, train=0, valid=0, test=0)


def test_empty_split_is_left_out(tmp_path: Path) -> None:
    source = opened(tmp_path, valid=0)
    assert source.splits() == ["train", "test"]
    assert np.isin(source.split("test").labels.numpy(), (0, 1)).all()
