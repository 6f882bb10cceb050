"""Files of uint8 pixels: packed ones are written from image files, each of which is read once: hashed and resized."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL
from PIL import features

from stargan_lab import files
from stargan_lab.data.image_reader import UnreadableImageError, decode, map_files, read_bytes
from stargan_lab.data.options import ImageOptions
from stargan_lab.data.transforms import crop_and_resize
from stargan_lab.errors import LabError

PIXELS_VERSION = 1
"""To be raised with every change of this package, e.g. of ``to_rgb`` or ``crop_and_resize``, that changes pixels."""


def decoder_versions() -> list[str | int | None]:
    """What pixels depend on besides the files and the options: this package, Pillow and its JPEG library.

    libjpeg's two are the version of its interface and, with libjpeg-turbo, of the library.
    """
    return [PIXELS_VERSION, PIL.__version__, features.version("jpg"), features.version("libjpeg_turbo")]


@dataclass(frozen=True)
class SplitHash:
    """The content of a split.

    Attributes:
        digest: SHA-256 over the names and bytes of the readable files.
        unreadable: file name -> error.
        sizes: ``"WIDTHxHEIGHT"`` -> number of readable images and the first file.
    """

    digest: str
    unreadable: dict[str, str]
    sizes: dict[str, tuple[int, str]]

    def smaller_than(self, crop: int) -> list[tuple[int, str, str]]:
        """(number of images, first file, size) of every size with a side shorter than ``crop`` px."""
        sides = {size: min(map(int, size.split("x"))) for size in self.sizes}
        return [(*self.sizes[size], size) for size, side in sides.items() if side < crop]


class _Image(NamedTuple):
    """A file's SHA-256, the image's size as ``"WIDTHxHEIGHT"``, and its (3, S, S) uint8 pixels."""

    sha256: str
    size: str
    pixels: np.ndarray


def write_pack(file: BinaryIO, folder: Path, names: Sequence[str], options: ImageOptions, title: str) -> SplitHash:
    """Write the images ``names``, relative to ``folder``, to ``file`` as an (n, 3, S, S) uint8 array in NumPy's format.

    With ``unreadable=skip``, n is the number of readable images.

    Args:
        title: shown by the progress bar.
    Raises:
        UnreadableImageError: the first image that cannot be read, unless such images are skipped.
    """
    rows, unreadable = [], {}
    sizes: dict[str, tuple[int, str]] = {}
    _write_header(file, len(names), options.image_size)
    images = map_files(partial(_read, options), [folder / name for name in names], title)
    for name, image in zip(names, images, strict=True):
        if isinstance(image, UnreadableImageError):
            unreadable[name] = str(image)
            continue
        rows.append(f"{name} {image.sha256}\n".encode())
        count, first = sizes.get(image.size, (0, name))
        sizes[image.size] = count + 1, first
        file.write(image.pixels.data)
    if unreadable:
        file.seek(0)
        _write_header(file, len(rows), options.image_size)
    return SplitHash(files.sha256_bytes(rows), unreadable, sizes)


def _read(options: ImageOptions, path: Path) -> _Image | UnreadableImageError:
    """Read one file; returns the error of an unreadable one if such files are skipped."""
    try:
        content = read_bytes(path)
        image = decode(content, path)
    except UnreadableImageError as error:
        if options.unreadable == "skip":
            return error
        raise
    pixels = crop_and_resize(image, options.crop, options.image_size)
    return _Image(files.sha256_bytes([content]), "x".join(map(str, image.size)), pixels)


def _write_header(file: BinaryIO, count: int, size: int) -> None:
    """NumPy leaves room for any ``count``, so a later header with another one replaces this one."""
    shape = (count, 3, size, size)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def load_images(path: Path, shape: Sequence[int | None], action: str) -> np.ndarray:
    """A file of uint8 pixels, memory-mapped.

    Args:
        shape: the expected shape; None for any number.
        action: what happens if the file is deleted.
    Raises:
        LabError: the file is damaged, or contains something else.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        sizes = zip(array.shape, shape, strict=True)
        if array.dtype != np.uint8 or any(expected not in (None, size) for size, expected in sizes):
            raise ValueError(f"it has {array.dtype} of shape {array.shape}")
    except Exception as error:  # a damaged header can raise almost anything
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise LabError(f"{path}: cannot be read as images ({problem}); delete it to {action}") from None
    return array
