"""Content hashes of image files, used in dataset fingerprints and the names of packed files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from stargan_lab import files
from stargan_lab.data.image_reader import MissingImageError, UnreadableImageError, decode, map_files, read_bytes
from stargan_lab.errors import DataError


@dataclass(frozen=True)
class SplitHash:
    """The content of a split.

    Attributes:
        digest: SHA-256 over the names and bytes of the readable files.
        unreadable: file name -> error.
    """

    digest: str
    unreadable: dict[str, str]


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
        results = map_files(partial(_hash_file, skip_unreadable), [folder / name for name in names], title)
        for name, result in zip(names, results, strict=True):
            if isinstance(result, UnreadableImageError):
                unreadable[name] = str(result)
            else:
                rows.append(f"{name} {result}\n".encode())
        file.write(json.dumps({"digest": files.sha256_bytes(rows), "unreadable": unreadable}).encode())

    key = files.canonical_hash([str(folder.absolute()), list(names), stats, skip_unreadable])
    return SplitHash(**files.read_json(files.make_once(cache / f"{key[:32]}.json", write)))


def _hash_file(skip_unreadable: bool, path: Path) -> str | UnreadableImageError:
    try:
        content = read_bytes(path)
        if skip_unreadable:
            decode(content, path)
        return files.sha256_bytes([content])
    except UnreadableImageError as error:
        if skip_unreadable:
            return error
        raise


def _stat(path: Path) -> tuple[int, int] | None:
    """Size and modification time; None when there is no such file."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return stat.st_size, stat.st_mtime_ns
