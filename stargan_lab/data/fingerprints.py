"""Content hashes of image files, used in dataset fingerprints and the names of packed files."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from stargan_lab import files
from stargan_lab.data.image_reader import (
    MissingImageError,
    UnreadableImageError,
    decode,
    map_files,
    open_image,
    read_bytes,
)
from stargan_lab.errors import DataError


@dataclass(frozen=True)
class SplitHash:
    """The content of a split.

    Attributes:
        digest: SHA-256 over the names and bytes of the readable files.
        unreadable: file name -> error.
        sizes: ``"WIDTHxHEIGHT"`` -> number of images and the first file, without images that cannot be opened.
    """

    digest: str
    unreadable: dict[str, str]
    sizes: dict[str, tuple[int, str]]

    def smaller_than(self, crop: int) -> list[tuple[int, str, str]]:
        """(number of images, first file, size) of every size with a side shorter than ``crop`` px."""
        sides = {size: min(map(int, size.split("x"))) for size in self.sizes}
        return [(*self.sizes[size], size) for size, side in sides.items() if side < crop]


def hash_split(folder: Path, names: Sequence[str], skip_unreadable: bool, cache: Path, title: str) -> SplitHash:
    """Hash the files of a split. Cached until a name, size or modification time changes.

    Args:
        names: relative to ``folder``.
        skip_unreadable: also decode every file, and report those that fail instead of hashing them.
        cache: directory for the results.
        title: shown by the progress bar.
    Raises:
        MissingImageError: a file is missing and ``skip_unreadable`` is off; names the first missing file.
    """
    stats = [_stat(folder / name) for name in names]
    missing = [name for name, stat in zip(names, stats, strict=True) if stat is None]
    if missing and not skip_unreadable:
        raise MissingImageError(f"{folder / missing[0]}: no such file ({len(missing):,} of {len(names):,} are missing)")

    def write(file: BinaryIO) -> None:
        rows, unreadable = [], {}
        sizes: dict[str, tuple[int, str]] = {}
        results = map_files(partial(_hash_file, skip_unreadable), [folder / name for name in names], title)
        for name, result in zip(names, results, strict=True):
            if isinstance(result, UnreadableImageError):
                unreadable[name] = str(result)
                continue
            sha256, size = result
            rows.append(f"{name} {sha256}\n".encode())
            if size is not None:
                count, first = sizes.get(size, (0, name))
                sizes[size] = count + 1, first
        split = SplitHash(files.sha256_bytes(rows), unreadable, sizes)
        file.write(json.dumps(asdict(split)).encode())

    key = files.canonical_hash([str(folder.absolute()), list(names), stats, skip_unreadable, "sizes"])
    return SplitHash(**files.read_json(files.make_once(cache / f"{key[:32]}.json", write)))


def _hash_file(skip_unreadable: bool, path: Path) -> tuple[str, str | None] | UnreadableImageError:
    """SHA-256 and size as ``"WIDTHxHEIGHT"``, None if the header cannot be parsed."""
    try:
        content = read_bytes(path)
        if skip_unreadable:
            decode(content, path)
        return files.sha256_bytes([content]), _size(content, path)
    except UnreadableImageError as error:
        if skip_unreadable:
            return error
        raise


def _size(content: bytes, path: Path) -> str | None:
    try:
        with open_image(content, path) as image:
            return "x".join(map(str, image.size))
    except UnreadableImageError:  # reported when the image is decoded
        return None


def _stat(path: Path) -> tuple[int, int] | None:
    """Size and modification time; None when there is no such file."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return stat.st_size, stat.st_mtime_ns
