"""Packing: every file is read once, and packed files contain what their name says."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import read_image
from PIL import Image, features

from stargan_lab.data import pack_file
from stargan_lab.data.celeba import celeba
from stargan_lab.data.image_reader import map_files, read_bytes
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.sampling import batch_indices, flips, load_batch
from stargan_lab.errors import DataError

Make = Callable[..., Path]


def open_celeba(root: Path, image_size: int = 16, **options: Any) -> PackedSource:
    return celeba("celeba", image_size, root.parent / "outputs", root=str(root), attributes=("Male",), **options)


def packed_files(root: Path) -> set[str]:
    return {path.name for path in (root.parent / "outputs" / "cache" / "packed").glob("*") if path.suffix != ".lock"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, in any order."""
    names: list[str] = []

    def read(path: Path) -> bytes:
        names.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(pack_file, "read_bytes", read)
    return names


@pytest.mark.parametrize("unreadable", ["stop", "skip"])
def test_one_read_hashes_and_packs(make_folder: Make, reads: list[str], unreadable: str) -> None:
    root = make_folder()
    source = open_celeba(root, unreadable=unreadable)
    _ = source.fingerprint
    source.prepare()
    assert sorted(reads) == sorted(path.name for path in (root / "images").iterdir())
    reads.clear()
    again = open_celeba(root, unreadable=unreadable)
    assert again.fingerprint == source.fingerprint
    assert torch.equal(again.split("train").images([0, 1]), source.split("train").images([0, 1]))
    assert reads == []


def test_a_packed_file_has_the_pixels_of_its_files(make_folder: Make) -> None:
    root = make_folder()
    train = open_celeba(root, 20).split("train")
    for i, name in enumerate(train.names):
        assert np.array_equal(train.images([i])[0], read_image(root / "images" / name, 178, 20))


def test_batches_equal_the_references_transforms(make_folder: Make) -> None:
    from torchvision import transforms

    steps = [transforms.CenterCrop(178), transforms.Resize(128), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    root = make_folder()
    train = open_celeba(root, 128).split("train")
    batch, flipped = load_batch(train, 0, 6, 1, 0, flip=True), flips(6, 1, 0, 0)
    assert 0 < flipped.sum() < 6
    for image, index, flip in zip(batch.images, batch_indices(len(train), 6, 1, 0, 0), flipped, strict=True):
        original = Image.open(root / "images" / train.names[index])
        if flip:  # the reference flips first
            original = original.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert torch.equal(image, transform(original))


def test_another_size_is_packed_without_hashing_again(make_folder: Make) -> None:
    root = make_folder()
    open_celeba(root).prepare()
    before, hashes = packed_files(root), sorted((root.parent / "outputs/cache/fingerprints").glob("*.json"))
    open_celeba(root, 24).prepare()
    assert before < packed_files(root) and len(packed_files(root)) == 6
    assert sorted((root.parent / "outputs/cache/fingerprints").glob("*.json")) == hashes


@pytest.mark.parametrize("decoder", ["this package", "Pillow", "jpg", "libjpeg_turbo"])
def test_another_decoder_packs_again_under_the_same_fingerprint(
    make_folder: Make, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder()
    source = open_celeba(root)
    source.prepare()
    before, version = packed_files(root), features.version
    if decoder == "this package":
        monkeypatch.setattr(pack_file, "PIXELS_VERSION", 0)
    elif decoder == "Pillow":
        monkeypatch.setattr("PIL.__version__", "0.1")
    else:
        monkeypatch.setattr(features, "version", lambda name: "0.1" if name == decoder else version(name))
    changed = open_celeba(root)
    changed.prepare()
    assert before < packed_files(root) and len(packed_files(root)) == 6
    assert changed.fingerprint == source.fingerprint


def test_a_change_that_keeps_size_and_time_is_noticed_when_packing(make_folder: Make) -> None:
    root = make_folder()
    before = open_celeba(root).fingerprint
    path = root / "images" / "000001.jpg"
    content, stat = path.read_bytes(), path.stat()
    path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_celeba(root).fingerprint == before  # the files are not read
    count = len(packed_files(root))
    with pytest.raises(DataError, match="images have changed since they were hashed; repeat the command"):
        open_celeba(root, 24).prepare()
    assert len(packed_files(root)) == count
    open_celeba(root, 24).prepare()
    assert open_celeba(root).fingerprint != before


def test_images_smaller_than_the_crop_are_not_packed(make_folder: Make) -> None:
    root = make_folder()
    Image.new("RGB", (178, 170)).save(root / "images" / "000001.jpg")
    for _ in range(2):
        with pytest.raises(DataError, match=r"1 of 10 images are smaller than the crop of 178 px"):
            open_celeba(root).prepare()
    assert len(packed_files(root)) == 2  # the other splits


def test_results_are_in_order_and_an_error_ends_the_reading(tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(100_000)]
    assert list(map_files(lambda path: path.name, paths[:1000], "")) == [path.name for path in paths[:1000]]
    called = []

    def fail(path: Path) -> str:
        called.append(path.name)
        if path.name == "20":
            raise DataError("20")
        return path.name

    results = map_files(fail, paths, "")
    with pytest.raises(DataError, match="20"):
        list(results)
    assert len(called) < 100_000
