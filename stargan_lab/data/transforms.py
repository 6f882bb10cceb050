"""From decoded images to uint8 pixels, with the crop and resize of the reference (yunjey/stargan).

Center crop, then PIL's bilinear resize. The reference flips first; here the flip is applied to the batch, which gives
the same pixels when the crop is as wide as the image (178 px for CelebA).
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def crop_and_resize(image: Image.Image, crop: int | None, size: int) -> np.ndarray:
    """Center crop to ``crop`` (None: the shorter side), resize to ``size``; (3, size, size) uint8."""
    image = center_crop(image, crop or min(image.size))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def center_crop(image: Image.Image, crop: int) -> Image.Image:
    """The centered ``crop`` × ``crop`` square, padded with zeros where the image is smaller.

    Odd margins are split as in torchvision: rounded to even when cropping, larger at the right and bottom when padding.
    """
    width, height = image.size
    left, top = (_crop_start(length, crop) for length in (width, height))
    # PIL fills pixels outside the image with zeros
    return image if (width, height) == (crop, crop) else image.crop((left, top, left + crop, top + crop))


def _crop_start(length: int, crop: int) -> int:
    return -((crop - length) // 2) if length < crop else round((length - crop) / 2)


def to_float(images: Tensor) -> Tensor:
    """(…) uint8 to float32 in [-1, 1] as in the reference: (v / 255 - 0.5) / 0.5."""
    # In place: a fresh tensor per operation takes most of the time.
    return images.to(torch.float32, copy=True).div_(255).sub_(0.5).div_(0.5)


def to_uint8(images: Tensor) -> Tensor:
    """(…) in [-1, 1] to uint8, rounded and clamped, as saved in a PNG."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
