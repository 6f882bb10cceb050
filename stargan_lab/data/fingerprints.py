"""Content hashes of image files, used in dataset fingerprints and the names of packed files.

A split is hashed and packed in one pass over its files. The hash is kept under the files' names, sizes and modification
times, so that later commands read no image.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from stargan_lab import files
from stargan_lab.data.image_reader import MissingImageError
from stargan_lab.data.options import ImageOptions
from stargan_lab.data.pack_file import SplitHash, decoder_versions, write_pack
from stargan_lab.errors import DataError


@dataclass(frozen=True)
class PackCache:
    """Packed files and content hashes below ``folder``, the directory for caches."""

    folder: Path

    def path(self, digest: str, options: ImageOptions) -> Path:
        """The packed file of images with the content hash ``digest``.

        Its name depends on the versions of the decoders as well, so that with another one the images are packed again.
        Dataset fingerprints, and with them run ids, do not: a run has one id on all machines, as with torch's version.
        """
        key = files.canonical_hash([digest, options.crop, options.image_size, decoder_versions()])
        return self.folder / "packed" / f"{key[:32]}.npy"

    def hash_split(self, folder: Path, names: Sequence[str], options: ImageOptions, title: str) -> SplitHash:
        """The content hash of a split. Reads the files, and packs them, only if a name, size or time has changed.

        Nothing is packed if an image is smaller than the crop, or none is readable.

        Args:
            names: relative to ``folder``.
            title: shown by the progress bar.
        Raises:
            UnreadableImageError: a file is missing or damaged, and such files are not skipped.
        """
        index = self.index(folder, names, options)
        partial = self.folder / "packed" / index.with_suffix(".npy").name

        def write(file: BinaryIO) -> None:
            split: list[SplitHash] = []

            def pack(packed: BinaryIO) -> Path | None:
                split.append(write_pack(packed, folder, names, options, title))
                usable = split[0].sizes and not split[0].smaller_than(options.crop or 0)
                return self.path(split[0].digest, options) if usable else None

            files.write_named(partial, pack, replace=False)
            file.write(json.dumps(asdict(split[0])).encode())

        return SplitHash(**files.read_json(files.make_once(index, write, partial)))

    def pack(self, folder: Path, names: Sequence[str], options: ImageOptions, digest: str, title: str) -> Path:
        """The packed file of files hashed earlier, written if it is missing, e.g. for another image size.

        Raises:
            DataError: the files have changed since, without a change of size or modification time.
        """

        def write(file: BinaryIO) -> None:
            if write_pack(file, folder, names, options, title).digest != digest:
                self.index(folder, names, options).unlink(missing_ok=True)
                raise DataError(f"{folder}: images have changed since they were hashed; repeat the command")

        return files.make_once(self.path(digest, options), write)

    def index(self, folder: Path, names: Sequence[str], options: ImageOptions) -> Path:
        """Where the content hash of the files, as they are now, is kept."""
        stats = [_stat(folder / name) for name in names]
        skip = options.unreadable == "skip"
        missing = [name for name, stat in zip(names, stats, strict=True) if stat is None]
        if missing and not skip:
            count = f"{len(missing):,} of {len(names):,} are missing"
            raise MissingImageError(f"{folder / missing[0]}: no such file ({count})")
        key = files.canonical_hash([str(folder.absolute()), list(names), stats, skip, "sizes"])
        return self.folder / "fingerprints" / f"{key[:32]}.json"


def _stat(path: Path) -> tuple[int, int] | None:
    """Size and modification time; None when there is no such file."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return stat.st_size, stat.st_mtime_ns
