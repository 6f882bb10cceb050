"""Image files as features are taken of them: which files, how they become RGB, and which go together in a batch.

Which files are images and how they become RGB is pytorch-fid's.
"""

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from stargan_lab import files
from stargan_lab.errors import DataError
from stargan_lab.evaluation.features import in_batches

ENDINGS = (".bmp", ".jpg", ".jpeg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""In any case of letters; pytorch-fid takes the lower one only."""

BATCH_BYTES = 1 << 30
"""Of the images of one batch as floats, however few of them that is."""


@dataclass(frozen=True)
class Picture:
    """What one pass over a file tells: SHA-256 of its bytes, (width, height) and PIL's mode."""

    path: Path
    sha256: str
    size: tuple[int, int]
    mode: str


def images_in(folder: Path) -> tuple[Path, ...]:
    """Image files by name; links that lead nowhere are among them, so that they are refused."""
    return tuple(path for path in inside(folder) if path.suffix.lower() in ENDINGS and not path.is_dir())


def inside(folder: Path) -> list[Path]:
    """By name. Raises DataError where this user may not look."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be looked into ({error.strerror})") from None


def threads() -> ThreadPoolExecutor:
    """To read and decode files with: PIL and hashlib let others work meanwhile."""
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1))


def look(path: Path) -> Picture:
    """Read a file, of the image in it the header only. Raises DataError when it is none."""
    content = _content(path)
    with _naming(path, content), Image.open(io.BytesIO(content)) as image:
        return Picture(path, files.sha256_bytes([content]), image.size, image.mode)


def pixels(picture: Picture) -> Tensor:
    """(3, H, W) uint8. Raises DataError when the file is damaged, or another than was looked at."""
    content = _content(picture.path)
    if files.sha256_bytes([content]) != picture.sha256:
        raise DataError(f"{picture.path}: changed while its folder was measured; run again")
    with _naming(picture.path, content), Image.open(io.BytesIO(content)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def _naming(path: Path, content: bytes) -> Iterator[None]:
    """Whatever fails within, fails as a DataError that names ``path``: decoders fail in many ways."""
    try:
        yield
    except UnidentifiedImageError:
        why = "a format that PIL does not know" if content else "the file is empty"
        raise DataError(f"{path}: not readable as an image ({why})") from None
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not readable as an image ({why})") from None


def batches(pictures: Sequence[Picture], at_once: int) -> Iterator[Sequence[Picture]]:
    """Each of one size; by size, then by name."""
    ordered = sorted(pictures, key=lambda picture: picture.size)
    for (width, height), alike in groupby(ordered, key=lambda picture: picture.size):
        fitting = BATCH_BYTES // (width * height * 3 * 4)
        yield from in_batches(list(alike), max(1, min(at_once, fitting)))
