"""From an image file to the (3, S, S) uint8 a network's input is made of: the reference's geometry (yunjey/stargan).

Centre crop, then PIL's bilinear resize. The horizontal flip, which the reference draws first, is applied to the
result at batch time: with a crop as wide as the image (CelebA's 178) the two commute to the bit.
"""

import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from stargan_lab.errors import DataError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""By which images are found in folders, in any case: torchvision's, as in the reference."""

# What PIL has to say of a damaged file is said by our own errors; its warnings would run across progress bars.
warnings.filterwarnings("ignore", module=r"PIL\b")
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)


class UnreadableImage(DataError):
    """A file that is missing, truncated or no image: its data are at fault, not the machine that reads it."""


@dataclass(frozen=True)
class Decoded:
    """An image as RGB, and the mode its file has."""

    rgb: Image.Image
    mode: str


def read_image(path: Path, crop: int | None, size: int) -> np.ndarray:
    """Read a file as RGB, whatever its mode, cropped and resized.

    Returns:
        (3, size, size) uint8.
    Raises:
        UnreadableImage: the file is missing, truncated or no image; names it.
        DataError: this machine may not or cannot read it.
    """
    return fit(decode(read_bytes(path), path).rgb, crop, size)


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises UnreadableImage when it is missing, DataError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: the image is missing") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def decode(content: bytes, path: Path, as_shown: bool = False) -> Decoded:
    """The image that ``content`` of the file ``path`` holds.

    Args:
        as_shown: as viewers show it: turned by its EXIF orientation, transparent parts on white. Off, both are left
            out, as in the reference's training.
    Raises:
        UnreadableImage: it holds none, or a damaged one.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return Decoded(_as_shown(image) if as_shown else _as_rgb(image), image.mode)
    except UnidentifiedImageError:
        why = "a format that PIL does not know" if content else "the file is empty"
    except Exception as error:  # decoders fail in many ways on bytes that are no image
        why = " ".join(str(error).split()) or type(error).__name__
    raise UnreadableImage(f"{path}: not readable as an image ({why})")


def _as_shown(image: Image.Image) -> Image.Image:
    """RGB, upright as its EXIF says, transparent parts on white."""
    image = ImageOps.exif_transpose(image)
    if not image.has_transparency_data or image.mode.startswith("I"):
        return _as_rgb(image)
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _as_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode; 16-bit grey is scaled, where PIL alone would cut it off at 255. Transparency is left out."""
    if image.mode.startswith("I"):  # I;16 and, from older PIL, I
        values = np.asarray(image).clip(0, 65_535)
        image = Image.fromarray((values // 257).astype(np.uint8))
    return image.convert("RGB")


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


def to_float(images: Tensor) -> Tensor:
    """(…) uint8 as float32 in [-1, 1], the reference's way: (v / 255 - 0.5) / 0.5."""
    return (images.float() / 255 - 0.5) / 0.5


def to_uint8(images: Tensor) -> Tensor:
    """(…) in [-1, 1] as uint8, rounded and clamped: what a PNG of it holds."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
