"""Image files as a loader reads them, without its cache."""

from pathlib import Path

import numpy as np

from stargan_lab.data.image_reader import decode, read_bytes
from stargan_lab.data.transforms import crop_and_resize


def read_image(path: Path, crop: int | None, size: int) -> np.ndarray:
    """(3, size, size) uint8."""
    return crop_and_resize(decode(read_bytes(path), path), crop, size)
