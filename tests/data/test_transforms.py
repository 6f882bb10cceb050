"""Crop and resize, compared with the reference's output and torchvision; conversion between uint8 and float."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as tv

from stargan_lab.data.sampling import flip_some
from stargan_lab.data.transforms import center_crop, crop_and_resize, to_float, to_uint8

GOLDEN = Path(__file__).parents[1] / "reference" / "golden_small.npz"


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_golden_image() -> None:
    with np.load(GOLDEN) as golden:
        image, expected = Image.fromarray(golden["transform/image"]), golden["transform/out"]
    assert torch.equal(to_float(torch.from_numpy(crop_and_resize(image, 45, 32))), torch.from_numpy(expected))


@pytest.mark.parametrize("width, height", [(178, 218), (50, 61), (20, 90), (44, 43), (33, 45)])
def test_center_crop_matches_torchvision(width: int, height: int) -> None:
    image = noise(width, height)
    expected = tv.center_crop(image, [45, 45])
    assert np.array_equal(np.asarray(center_crop(image, 45)), np.asarray(expected))


@pytest.mark.parametrize("size", [32, 128])
def test_flip_commutes_with_the_crop_of_celeba(size: int) -> None:
    image = noise(178, 218)
    first = crop_and_resize(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 178, size)
    assert np.array_equal(first, crop_and_resize(image, 178, size)[:, :, ::-1])


def test_without_crop_the_largest_square_is_used() -> None:
    image = noise(40, 60)
    assert np.array_equal(crop_and_resize(image, None, 40), np.asarray(image)[10:50].transpose(2, 0, 1))


def test_uint8_survives_the_round_trip() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert torch.equal(to_uint8(to_float(values).double()), values)
    floats = to_float(values)
    assert (floats[0], floats[255]) == (-1, 1)
    assert (floats.diff() > 0).all()


def test_inputs_are_not_changed() -> None:
    values = torch.full((1, 3, 2, 4), 7.0)
    to_float(values)
    assert (values == 7).all()
    pixels = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 1, 4)
    flipped = flip_some(pixels, torch.tensor([False, True]))
    assert torch.equal(pixels.flatten(), torch.arange(24, dtype=torch.uint8))
    assert torch.equal(flipped[0], pixels[0]) and torch.equal(flipped[1], pixels[1].flip(-1))


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-7.0, -1.0, -0.998, -0.997, 0.0, 0.5, 1.0, 1.001, 9.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 0, 128, 191, 255, 255, 255]
    steps = torch.arange(256) / 127.5 - 1
    for shift in (-0.49, 0.49):
        assert torch.equal(to_uint8(steps + shift / 127.5), torch.arange(256, dtype=torch.uint8))
