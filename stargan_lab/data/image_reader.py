"""Image files: found by extension; read, decoded and hashed on several threads."""

import io
import logging
import os
import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stargan_lab import console, files
from stargan_lab.errors import DataError, one_line

T = TypeVar("T")
Converter = Callable[[Image.Image], Image.Image]

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Image files by extension, case-insensitive; the same set as torchvision's and pytorch-fid's."""
_CHUNK = 16  # files per task, so that handing out tasks costs little
_AHEAD = 4  # tasks per thread; bounds the results that wait for a slower consumer

# This package's errors describe damaged files; PIL's warnings would garble progress bars.
warnings.filterwarnings("ignore", module=r"PIL\b")
logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)


class UnreadableImageError(DataError):
    """The file is missing, truncated or not an image: the data is at fault, not this machine."""


class MissingImageError(UnreadableImageError):
    """There is no such file."""


@dataclass(frozen=True)
class ImageInfo:
    """A file's SHA-256 and the image's (width, height) and PIL mode, from its header."""

    path: Path
    sha256: str
    size: tuple[int, int]
    mode: str


def is_image(name: str) -> bool:
    """Whether the file name has one of ``IMAGE_EXTENSIONS``."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def images_in(folder: Path) -> list[Path]:
    """Image files directly in ``folder``, sorted by name. Includes broken links, so that reading them fails.

    Raises:
        DataError: the directory cannot be listed.
    """
    return [path for path in list_folder(folder) if is_image(path.name) and not path.is_dir()]


def list_folder(folder: Path) -> list[Path]:
    """Entries of ``folder``, sorted by name. Raises DataError when it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot list directory ({error.strerror})") from None


def files_below(folder: Path) -> list[str]:
    """Every file below ``folder`` at any depth, relative to it, in torchvision's order."""
    names: list[str] = []
    for parent, _, children in sorted(os.walk(folder, followlinks=True)):
        names += [(Path(parent) / name).relative_to(folder).as_posix() for name in sorted(children)]
    return names


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises MissingImageError, or DataError when it cannot be read."""
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # reading would wait for a writer
            raise UnreadableImageError(f"{path}: cannot decode image (it is a pipe)")
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingImageError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def read_info(path: Path) -> ImageInfo:
    """Read a file and parse its header, without decoding. Raises DataError."""
    content = read_bytes(path)
    with open_image(content, path) as image:
        return ImageInfo(path, files.sha256_bytes([content]), image.size, image.mode)


@contextmanager
def open_image(content: bytes, path: Path) -> Iterator[Image.Image]:
    """The image in ``content``, the bytes of ``path``, not yet decoded.

    Raises:
        UnreadableImageError: it is not an image, or decoding it inside the block failed.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            yield image
            return
    except UnidentifiedImageError:
        reason = "unknown image format" if content else "the file is empty"
    except Exception as error:  # decoders raise many types on damaged files
        reason = one_line(error)
    raise UnreadableImageError(f"{path}: cannot decode image ({reason})")


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB from any mode, as trained on: alpha and EXIF orientation ignored, 16-bit grayscale scaled to 8 bits."""
    if image.mode.startswith("I"):  # I;16, or I in older versions of PIL; PIL alone would clip at 255
        values = np.asarray(image).clip(0, 65_535)
        image = Image.fromarray((values // 257).astype(np.uint8))
    return image.convert("RGB")


def to_rgb_as_displayed(image: Image.Image) -> Image.Image:
    """RGB as viewers display it: EXIF orientation applied, transparency over white."""
    image = ImageOps.exif_transpose(image)
    if not image.has_transparency_data or image.mode.startswith("I"):
        return to_rgb(image)
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def to_rgb_clipped(image: Image.Image) -> Image.Image:
    """RGB as pytorch-fid reads it: alpha and EXIF orientation ignored, values above 255 clipped."""
    return image.convert("RGB")


def decode(content: bytes, path: Path, convert: Converter = to_rgb) -> Image.Image:
    """The RGB image in ``content``, the bytes of ``path``. Raises UnreadableImageError."""
    with open_image(content, path) as image:
        image.load()
        return convert(image)


def reader_threads() -> ThreadPoolExecutor:
    """A thread for each core, for reading, hashing, decoding and resizing, which release the GIL."""
    Image.init()  # PIL loads its formats lazily, which is not thread-safe
    return ThreadPoolExecutor(_cores())


def map_files(function: Callable[[Path], T], paths: Sequence[Path], title: str) -> Iterator[T]:
    """Apply ``function`` to every path on all cores, with a progress bar; results are in order."""

    def results_of(start: int) -> list[T]:
        return [function(path) for path in paths[start : start + _CHUNK]]

    with reader_threads() as pool, console.bar(title, len(paths), "image") as bar:
        starts = iter(range(0, len(paths), _CHUNK))
        waiting = deque(pool.submit(results_of, start) for start in islice(starts, _AHEAD * _cores()))
        try:
            while waiting:
                results = waiting.popleft().result()
                waiting.extend(pool.submit(results_of, start) for start in islice(starts, 1))
                for result in results:
                    yield result
                    bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """The number of cores that this process may use; a container's CPU quota counts."""
    from joblib import cpu_count  # takes about 0.1 s to import

    return cpu_count()
