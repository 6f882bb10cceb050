"""The geometry from file to pixels, against the reference's own output and torchvision's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as tv

from stargan_lab.data import tree
from stargan_lab.data.transforms import IMAGE_ENDINGS, centre_crop, decode, fit, read_image, to_float
from stargan_lab.errors import DataError

GOLDEN = Path(__file__).parents[1] / "reference" / "golden_small.npz"


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_golden_image() -> None:
    with np.load(GOLDEN) as golden:
        image, expected = Image.fromarray(golden["transform/image"]), golden["transform/out"]
    assert torch.equal(to_float(torch.from_numpy(fit(image, 45, 32))), torch.from_numpy(expected))


@pytest.mark.parametrize(
    "width, height", [(178, 218), (45, 60), (50, 61), (51, 60), (20, 90), (44, 43), (33, 45), (45, 45)]
)
def test_centre_crop_is_torchvisions(width: int, height: int) -> None:
    image = noise(width, height)
    expected = tv.center_crop(image, [45, 45])
    assert np.array_equal(np.asarray(centre_crop(image, 45)), np.asarray(expected))


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_flip_commutes_with_celebas_geometry(size: int) -> None:
    image = noise(178, 218)
    first = fit(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 178, size)
    assert np.array_equal(first, fit(image, 178, size)[:, :, ::-1])


def test_no_crop_takes_the_largest_square() -> None:
    image = noise(40, 60)
    assert np.array_equal(fit(image, None, 40), np.asarray(image)[10:50].transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_other_modes_are_read_as_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    noise(20, 20).convert(mode).save(path)
    pixels = read_image(path, 20, 16)
    assert pixels.shape == (3, 16, 16)
    assert pixels.std() > 10
    if mode in ("L", "LA", "1"):
        assert np.array_equal(pixels[0], pixels[2])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_not_cut_off(suffix: str, tmp_path: Path) -> None:
    values = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / f"x.{suffix}")
    pixels = read_image(tmp_path / f"x.{suffix}", 16, 16)
    assert np.array_equal(pixels, np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(16, 16), (3, 16, 16)))


def as_shown(path: Path, shown: bool = True) -> np.ndarray:
    return np.asarray(decode(path.read_bytes(), path, shown).rgb)


def test_as_shown_is_upright_and_on_white_and_only_when_asked_for(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter
    upright = noise(20, 30)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(as_shown(tmp_path / "turned.png"), np.asarray(upright))
    assert np.array_equal(as_shown(tmp_path / "turned.png", False), np.rot90(np.asarray(upright)))
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (as_shown(tmp_path / "clear.png") == 255).all()
    assert (as_shown(tmp_path / "clear.png", False) == (200, 0, 0)).all()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1", "I;16"])
def test_without_exif_and_transparency_both_ways_are_the_same(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image = Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160)
    (image if mode == "I;16" else noise(20, 20).convert(mode)).save(path)
    shown = as_shown(path)
    assert np.array_equal(shown, as_shown(path, False)) and shown.std() > 10


def test_images_are_found_by_torchvisions_endings() -> None:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert IMAGE_ENDINGS == IMG_EXTENSIONS and tree.IMAGES is IMAGE_ENDINGS


def test_what_pil_has_to_say_stays_off_the_terminal(tmp_path: Path) -> None:
    """In a process of its own, since pytest catches warnings."""
    palette = noise(20, 20).convert("P")
    palette.info["transparency"] = bytes(range(256))
    palette.save(tmp_path / "palette.png")
    whole = tmp_path / "whole.tif"
    noise(60, 60).save(whole, compression="tiff_lzw")
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[:-20])
    (tmp_path / "tag.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")
    code = """
import pathlib, sys
from stargan_lab.data.transforms import UnreadableImage, read_image
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        read_image(path, 16, 16)
        print(path.name)
    except UnreadableImage:
        print("not", path.name)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == ["not cut.tif", "palette.png", "not tag.tif", "whole.tif"]


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    noise(178, 218).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    for name in ("cut.jpg", "text.jpg", "empty.jpg", "absent.jpg"):
        with pytest.raises(DataError, match=name) as caught:
            read_image(tmp_path / name, 178, 64)
        assert "\n" not in str(caught.value)
