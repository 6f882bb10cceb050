"""Images that are damaged, huge or oddly shaped: named in one line, with bounded memory."""

import io
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stored import tiny_config

from stargan_lab.cli.main import main
from stargan_lab.errors import DataError, LabError
from stargan_lab.runs.build import build_sources

MIB = 2**20


def png(width: int, height: int, rows: int = 0) -> bytes:
    """A PNG that claims a size; its data are ``rows`` black rows, compressed."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes((1 + 3 * width) * rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def cut_off() -> bytes:
    """The first half of a PNG of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()[: len(file.getvalue()) // 2]


HOSTILE = {
    "a bomb of 10,000 megapixels": png(100_000, 100_000),
    "a bomb of 200 megapixels": png(20_000, 10_000, 10_000),
    "half of an image": cut_off(),
    "text": b"hello",
    "an empty file": b"",
    "a size of zero": png(0, 64),
    "a PNG that ends in its header": png(64, 64)[:20],
    "a pickle": b"\x80\x04\x95",
}


@pytest.fixture
def tree(here: Path) -> Path:
    """Two classes with four images each in train and test."""
    rng = np.random.default_rng(0)
    for which in ("train", "test"):
        for name in ("a", "b"):
            (here / "tree" / which / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(here / "tree" / which / name / f"{number}.png")
    return here / "tree"


def opened(tree: Path, *overrides: str) -> Any:
    words = ["data=rafd", f"data.sources.rafd.root={tree}", "data.sources.rafd.crop=null", "data.image_size=16"]
    (source,) = build_sources(tiny_config(tree.parent / "outputs", *words, *overrides))
    return source


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", HOSTILE)
def test_image_of_a_dataset(tree: Path, kind: str) -> None:
    (tree / "train" / "a" / "1.png").write_bytes(HOSTILE[kind])
    before = peak()
    with pytest.raises(DataError, match=r"train/a/1\.png: cannot decode image .*unreadable=skip"):
        opened(tree).prepare()
    skipping = opened(tree, "data.sources.rafd.unreadable=skip")
    skipping.prepare()
    assert skipping.skipped_images() == ["train/a/1.png"]
    assert len(skipping.split("train")) == 7
    assert peak() - before < 100 * MIB


@pytest.mark.parametrize("kind", HOSTILE)
def test_image_to_translate(run: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    Path("face.png").write_bytes(HOSTILE[kind])
    Image.new("RGB", (20, 20)).save("good.png")
    assert main(["translate", str(run), "face.png", "good.png", "--to", "Male"]) == 1
    err = capfd.readouterr().err
    assert "skipped: face.png: cannot decode image (" in err and "Traceback" not in err
    assert {path.stem for path in Path("outputs/translations").rglob("*.png")} == {"strip", "good.Male"}


@pytest.mark.parametrize("kind", HOSTILE)
def test_image_of_fid(refused: Callable[..., str], here: Path, tree: Path, kind: str) -> None:
    (tree / "train" / "a" / "1.png").write_bytes(HOSTILE[kind])
    images = str(tree / "train" / "a")
    assert "1.png" in refused("fid", images, str(tree / "train" / "b"), "--features", "pixels")


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (1, 1)])
def test_extreme_shapes_are_resized(tree: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (255, 0, 0)).save(tree / "train" / "a" / "1.png")
    source = opened(tree)
    source.prepare()
    split = source.split("train")
    pixels = split.images([list(split.names).index("train/a/1.png")])[0]
    assert pixels.shape == (3, 16, 16) and pixels[0].min() == 255 and pixels[1:].max() == 0


def test_image_damaged_in_training_is_not_read_again(tree: Path) -> None:
    """Images are packed before the first step, so that no epoch depends on what happens to the files."""
    source = opened(tree)
    source.prepare()
    before = source.split("train").images(range(8))
    for path in (tree / "train").rglob("*.png"):
        path.write_bytes(b"damaged")
    assert (source.split("train").images(range(8)) == before).all()


def test_packed_images_that_are_cut_off_in_training_are_noticed_on_resume(tree: Path) -> None:
    source = opened(tree)
    source.prepare()
    path = source.split("train").path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(LabError, match="delete it to pack the images again"):
        opened(tree).split("train").images([0])


def test_dataset_changed_before_a_resume_is_another_run(tree: Path) -> None:
    """The fingerprint is part of the run id: a changed image, label or name never continues a checkpoint."""
    fingerprint = opened(tree).fingerprint
    path = tree / "train" / "a" / "1.png"
    content = path.read_bytes()
    Image.new("RGB", (24, 20), (1, 2, 3)).save(path)
    assert opened(tree).fingerprint != fingerprint
    path.write_bytes(content)
    assert opened(tree).fingerprint == fingerprint
    path.rename(tree / "train" / "b" / "9.png")
    assert opened(tree).fingerprint != fingerprint


@pytest.mark.parametrize("kind", ["loop", "dangling", "folder", "fifo"])
def test_what_is_no_file(tree: Path, kind: str) -> None:
    import os

    path = tree / "train" / "a" / "9.png"
    if kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nowhere.png")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    if kind == "folder":  # of images that are part of the class
        assert len(opened(tree).file_names("train")) == 8
        return
    with pytest.raises(DataError, match=r"train/a/9\.png"):
        opened(tree).prepare()
