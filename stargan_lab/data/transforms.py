"""From an image file to the (3, S, S) uint8 a network's input is made of: the reference's geometry (yunjey/stargan).

Centre crop, then PIL's bilinear resize. The horizontal flip, which the reference draws first, is applied to the
result at batch time: with a crop as wide as the image (CelebA's 178) the two commute to the bit.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from stargan_lab.errors import DataError


def read_image(path: Path, crop: int | None, size: int) -> np.ndarray:
    """Read a file as RGB, whatever its mode, cropped and resized.

    Returns:
        (3, size, size) uint8.
    Raises:
        DataError: the file is missing, truncated or no image; names it.
    """
    try:
        with Image.open(path) as image:
            return fit(image.convert("RGB"), crop, size)
    except FileNotFoundError:
        raise DataError(f"{path}: the image is missing") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not readable as an image ({' '.join(str(error).split())})") from None


def fit(image: Image.Image, crop: int | None, size: int) -> np.ndarray:
    """Centre crop to ``crop`` (None: the largest centred square), resize to ``size``; (3, size, size) uint8."""
    image = centre_crop(image, crop or min(image.size))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def centre_crop(image: Image.Image, crop: int) -> Image.Image:
    """The centred ``crop`` × ``crop`` square; zeros where the image is smaller.

    An odd margin: the half goes to the even side when cropping, to the right and below when padding (torchvision).
    """
    width, height = image.size
    left, top = (_start(length, crop) for length in (width, height))
    # PIL fills what lies outside of the image with zeros
    return image if (width, height) == (crop, crop) else image.crop((left, top, left + crop, top + crop))


def _start(length: int, crop: int) -> int:
    return -((crop - length) // 2) if length < crop else round((length - crop) / 2)
