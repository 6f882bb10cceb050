"""The image reader: which files are images, how every mode becomes RGB, and errors that name the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import read_image
from PIL import Image

from stargan_lab.data.image_reader import (
    IMAGE_EXTENSIONS,
    Converter,
    decode,
    images_in,
    reader_threads,
    to_rgb,
    to_rgb_as_displayed,
)
from stargan_lab.errors import DataError


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(path: Path, convert: Converter = to_rgb) -> np.ndarray:
    return np.asarray(decode(path.read_bytes(), path, convert))


def test_extensions_match_torchvision_and_pytorch_fid(tmp_path: Path) -> None:
    from pytorch_fid.fid_score import IMAGE_EXTENSIONS as FID_EXTENSIONS
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert IMAGE_EXTENSIONS == IMG_EXTENSIONS
    assert set(IMAGE_EXTENSIONS) == {f".{extension}" for extension in FID_EXTENSIONS}
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in images_in(tmp_path)] == ["a.jpg", "b.PNG"]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_all_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    noise(20, 20).convert(mode).save(path)
    image = read_image(path, 20, 16)
    assert image.shape == (3, 16, 16)
    assert image.std() > 10
    if mode in ("L", "LA", "1"):
        assert np.array_equal(image[0], image[2])
    assert np.array_equal(pixels(path), pixels(path, to_rgb_as_displayed))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grayscale_is_scaled(suffix: str, tmp_path: Path) -> None:
    path, values = tmp_path / f"x.{suffix}", (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(values).save(path)
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(pixels(path), expected) and np.array_equal(pixels(path, to_rgb_as_displayed), expected)


def test_orientation_and_transparency_are_applied_only_as_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to display
    upright = noise(20, 30)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "rotated.png", exif=exif)
    assert np.array_equal(pixels(tmp_path / "rotated.png", to_rgb_as_displayed), np.asarray(upright))
    assert np.array_equal(pixels(tmp_path / "rotated.png"), np.rot90(np.asarray(upright)))
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "transparent.png")
    assert (pixels(tmp_path / "transparent.png", to_rgb_as_displayed) == 255).all()
    assert (pixels(tmp_path / "transparent.png") == (200, 0, 0)).all()


def test_pil_prints_no_warnings(tmp_path: Path) -> None:
    """In a subprocess, since pytest captures warnings."""
    palette = noise(20, 20).convert("P")
    palette.info["transparency"] = bytes(range(256))
    palette.save(tmp_path / "palette.png")
    complete = tmp_path / "complete.tif"
    noise(60, 60).save(complete, compression="tiff_lzw")
    (tmp_path / "cut.tif").write_bytes(complete.read_bytes()[:-20])
    (tmp_path / "tag.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")
    code = """
import pathlib, sys
from stargan_lab.data.image_reader import UnreadableImageError
from stargan_lab.data.image_reader import decode
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        decode(path.read_bytes(), path)
        print(path.name)
    except UnreadableImageError:
        print("not", path.name)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == ["complete.tif", "not cut.tif", "palette.png", "not tag.tif"]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    complete = tmp_path / "complete.jpg"
    noise(178, 218).save(complete)
    for content, message in (
        (complete.read_bytes()[:5000], "cannot decode image (image file is truncated"),
        (b"not an image", "cannot decode image (unknown image format)"),
        (b"", "cannot decode image (the file is empty)"),
        (None, "no such file"),
    ):
        path = tmp_path / "x.jpg"
        path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_image(path, 178, 64)
        assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_a_containers_cpu_quota_limits_the_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """``LOKY_MAX_CPU_COUNT`` stands for the quota, which joblib takes the minimum with."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    with reader_threads() as pool:
        assert pool._max_workers == 1
