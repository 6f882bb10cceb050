"""Going through many image files: on a few threads, with a progress bar, once, remembered.

Packing, the hashes that fingerprints are made of, leaving out what is unreadable, and ``data check`` all go through it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import ExifTags, Image
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.data.transforms import UnreadableImage, decode, read_bytes
from stargan_lab.errors import DataError

T = TypeVar("T")
_CHUNK = 256  # bounds how many results wait for a slower consumer
_THREADS = 4  # reading, decoding and hashing leave Python's lock


@dataclass(frozen=True)
class Look:
    """What a file is.

    Attributes:
        digest: of its bytes; empty for a missing file.
        flaw: why it cannot be read as an image, naming the file; None: it can, or that was not tried.
        size, mode: of the image, and ``pixels``, the hash of its RGB values; empty where it was not decoded.
        orientation: by EXIF; 1, as it is stored.
    """

    digest: str = ""
    flaw: str | None = None
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    pixels: str = ""
    orientation: int = 1


def look(path: Path, decoding: bool) -> Look:
    """Look at a file, into it too when ``decoding``. Raises DataError when this machine may not or cannot read it."""
    digest = ""
    try:
        content = read_bytes(path)
        digest = files.sha256_bytes([content])
        if not decoding:
            return Look(digest)
        found = decode(content, path)
    except UnreadableImage as error:
        return Look(digest, str(error))
    pixels = files.sha256_bytes([repr(found.rgb.size).encode(), found.rgb.tobytes()])
    return Look(digest, None, found.rgb.size, found.mode, pixels, _orientation(found.rgb))


def _orientation(image: Image.Image) -> int:
    """That which a viewer would turn the image by; 1 where EXIF is damaged or says nothing that is one."""
    try:
        said = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF is parsed in many ways that fail, and the image is sound without
        return 1
    return said if said in range(1, 9) else 1


def each(function: Callable[[Path], T], paths: Sequence[Path], what: str) -> Iterator[T]:
    """``function`` of every path, in order, computed on several threads; ``what`` is named by the progress bar."""
    Image.init()  # PIL's formats load late; while one thread loads them another may find its image of no known format
    with ThreadPoolExecutor(_THREADS) as pool, tqdm(total=len(paths), desc=what, unit="image", disable=None) as bar:
        for start in range(0, len(paths), _CHUNK):
            for result in pool.map(function, paths[start : start + _CHUNK]):
                yield result
                bar.update()


@dataclass(frozen=True)
class Contents:
    """Of the files of a split: the hash of the names and bytes of those that are served, and why others are not.

    Attributes:
        unreadable: file name -> what is wrong with it; these do not enter the hash.
    """

    digest: str
    unreadable: dict[str, str]


def contents(folder: Path, names: Sequence[str], skip: bool, cache: Path, what: str) -> Contents:
    """Hash files, kept under ``cache`` for as long as no name, size or time of change differs.

    Args:
        names: relative to ``folder``.
        skip: decode every file and leave out those that are missing or no image; else a missing one is refused.
    Raises:
        UnreadableImage: a file is missing, and ``skip`` is off; names the first.
    """
    listing = [_status(folder / name) for name in names]
    missing = [name for name, status in zip(names, listing, strict=True) if status is None]
    if missing and not skip:
        others = f", as are {len(missing) - 1:,} more of {len(names):,}" if len(missing) > 1 else ""
        raise UnreadableImage(f"{folder / missing[0]}: the image is missing{others}")
    key = files.canonical_hash([str(folder.absolute()), list(names), listing, skip])
    known = cache / f"{key[:32]}.json"
    if not known.exists():
        looks = each(lambda path: look(path, skip), [folder / name for name in names], what)
        unreadable, rows = {}, []
        for name, found in zip(names, looks, strict=True):
            if found.flaw is None:
                rows.append(f"{name} {found.digest}\n".encode())
            else:
                unreadable[name] = found.flaw
        files.write_json(known, {"digest": files.sha256_bytes(rows), "unreadable": unreadable})
    return Contents(**files.read_json(known))


def _status(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None when there is no such file. Raises DataError when this machine may not look."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return status.st_size, status.st_mtime_ns
