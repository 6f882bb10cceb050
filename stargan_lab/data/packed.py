"""Packed datasets: all images of a split, cropped and resized, in one memory-mapped file.

A packed file has 3·S² bytes per image: 10.0 GB for CelebA's 202,599 images at 128 px. Loading a batch copies its rows.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stargan_lab import files
from stargan_lab.console import say
from stargan_lab.data.fingerprints import PackCache
from stargan_lab.data.image_reader import UnreadableImageError
from stargan_lab.data.options import SPLITS, ImageOptions
from stargan_lab.data.pack_file import SplitHash, load_images, write_pack
from stargan_lab.data.problems import ROW_PROBLEMS, raise_problem
from stargan_lab.data.protocols import GroundTruth, Listing, SplitFiles
from stargan_lab.data.synthfaces.ground_truth import SynthFacesGroundTruth
from stargan_lab.data.synthfaces.spec import SynthSpec, read_spec
from stargan_lab.data.synthfaces.writer import make_synthfaces
from stargan_lab.errors import DataError, preview, unknown
from stargan_lab.labels import LabelSpec


class PackedSet:
    """One split: labels in memory, images from the packed file (an ``ImageSet``).

    Args:
        path: the packed file, (n, 3, S, S) uint8.
        names: n file names.
        labels: (n, A) float32 of 0 and 1.
    """

    def __init__(self, path: Path, names: Sequence[str], labels: Tensor) -> None:
        self.path = path
        self.names = names
        self.labels = labels

    def __len__(self) -> int:
        return len(self.names)

    def images(self, indices: Sequence[int]) -> Tensor:
        """(len(indices), 3, S, S) uint8, not flipped."""
        return torch.from_numpy(self._pixels[np.asarray(indices, dtype=np.int64)])

    @cached_property
    def _pixels(self) -> np.ndarray:
        return load_images(self.path, (len(self), 3, None, None), "pack the images again")


class PackedSource:
    """A directory of labeled images (an ``ImageSource``).

    Args:
        outputs: directory for caches.
        generated: the SynthFaces to generate into the directory if missing; None for any other dataset.
    """

    def __init__(
        self, listing: Listing, options: ImageOptions, outputs: Path, generated: SynthSpec | None = None
    ) -> None:
        self.name = listing.dataset
        self.root = listing.root
        self.flip = options.flip
        self.options = options
        self._listing = listing
        self._cache = PackCache(outputs / "cache")
        self._generated = generated
        self._packed: dict[str, PackedSet] = {}
        self._skipped_rows: list[str] = []

    @cached_property
    def spec(self) -> LabelSpec:
        return self._listing.spec

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that pixels, labels and file names depend on; skipped files are not included.

        For SynthFaces that is the spec, for any other dataset the content of its files, independent of their location.
        Files that were not hashed before are packed as well, since both need their content.

        Raises:
            DataError: an image is missing, damaged or smaller than the crop.
        """
        settings = [list(self.spec.names), self.spec.kind, self.options.crop, self.options.image_size]
        if self._generated is not None:
            return files.canonical_hash([self._generated.fingerprint, self._listing.split_options(), settings])
        parts = [
            [which, self._content_hash(which), files.sha256_bytes([self._files_of(which).labels.tobytes()])]
            for which in self.splits()
        ]
        return files.canonical_hash([parts, settings])

    @cached_property
    def ground_truth(self) -> GroundTruth | None:
        """The exact ground truth if the directory contains SynthFaces."""
        spec = self._generated or read_spec(self.root)
        if spec is None:
            return None
        crop, size = self.options.crop, self.options.image_size
        return SynthFacesGroundTruth(spec, crop, size, lambda which: self._files_of(which).names)

    def prepare(self) -> None:
        """Generate what is missing, pack every split, report skipped images. Raises DataError that names the path."""
        for which in self.splits():
            self.split(which)
        if skipped := self.skipped_images():
            total = sum(len(listed.names) for listed in self.listed.values())
            say(f"{self.name}: skipped {len(skipped):,} of {total:,} images (unreadable): {preview(skipped)}")
        if rows := self._skipped_rows:
            say(f"{self.name}: skipped {len(rows):,} malformed rows of the annotation files: {preview(rows)}")

    def splits(self) -> Sequence[str]:
        return [which for which in SPLITS if which in self._files]

    def split(self, which: str) -> PackedSet:
        """One split, packed first if necessary. Raises DataError for a split that does not exist."""
        if which not in self._packed:  # called in every training step
            self._packed[which] = self._pack(which)
        return self._packed[which]

    def skipped_images(self) -> list[str]:
        """The listed files that ``unreadable=skip`` leaves out."""
        return [name for which in self.listed for name in self._hashes[which].unreadable] if self._skips else []

    def listing(self) -> Listing:
        """The listing of the directory, once SynthFaces has been generated into it."""
        if self._generated is not None:
            make_synthfaces(self.root, self._generated)
        return self._listing

    def file_names(self, which: str) -> Sequence[str]:
        """The files of a split, without generating or packing any. Raises DataError for an unknown split."""
        if self._generated is not None and read_spec(self.root) != self._generated:
            return self._listing.generated_names(self._generated, which)
        return self._files_of(which).names

    @cached_property
    def listed(self) -> dict[str, SplitFiles]:
        """Split -> listed files, limits applied; no image is opened. Raises DataError."""
        self._skipped_rows.clear()
        splits = self.listing().splits(self._on_problem)
        if self._skipped_rows and not splits:
            count, first = len(self._skipped_rows), self._skipped_rows[0]
            raise DataError(f"{self.root}: no images left: {count:,} rows are malformed, e.g. {first}")
        limits = dict(zip(SPLITS, self.options.limits, strict=True))
        return {
            which: SplitFiles(listed.names[: limits[which]], listed.labels[: limits[which]])
            for which, listed in splits.items()
        }

    def _pack(self, which: str) -> PackedSet:
        """Write the packed file unless it exists."""
        split, title = self._files_of(which), f"packing {self.name}/{which}"
        folder, names, options = self._listing.folder, self.listed[which].names, self.options
        digest = self._content_hash(which)
        try:
            if self._generated is None:
                path = self._cache.pack(folder, names, options, digest, title)
            else:
                path = files.make_once(
                    self._cache.path(digest, options), lambda file: write_pack(file, folder, names, options, title)
                )
        except UnreadableImageError as error:
            raise self._with_advice(error) from None
        return PackedSet(path, split.names, torch.from_numpy(split.labels))

    @cached_property
    def _hashes(self) -> dict[str, SplitHash]:
        """Split -> hash of its files, which packs them too. Raises DataError, also for images smaller than the crop."""
        try:
            hashes = {
                which: self._cache.hash_split(
                    self._listing.folder, split.names, self.options, f"reading {self.name}/{which}"
                )
                for which, split in self.listed.items()
            }
        except UnreadableImageError as error:
            raise self._with_advice(error) from None
        self._check_crop(hashes.values())
        return hashes

    @cached_property
    def _files(self) -> dict[str, SplitFiles]:
        """Split -> listed files without the skipped ones."""
        if not self.skipped_images():
            return self.listed
        return {which: self._readable(which, split) for which, split in self.listed.items()}

    def _readable(self, which: str, split: SplitFiles) -> SplitFiles:
        unreadable = self._hashes[which].unreadable
        indices = [i for i, name in enumerate(split.names) if name not in unreadable]
        if not indices:
            example = next(iter(unreadable.values()))
            raise DataError(f"{self.root}: all {len(split.names):,} {which} images are unreadable, e.g. {example}")
        return split.select(indices)

    def _files_of(self, which: str) -> SplitFiles:
        if which not in self._files:
            raise DataError(f"{self.root}: {unknown('split', which, self._files)}")
        return self._files[which]

    def _check_crop(self, hashes: Iterable[SplitHash]) -> None:
        """Raises DataError if an image is smaller than the crop, which would pad it with black."""
        smaller = [each for split in hashes for each in split.smaller_than(self.options.crop or 0)]
        if smaller:
            count = sum(number for number, _, _ in smaller)
            total = sum(len(split.names) for split in self.listed.values())
            _, name, size = smaller[0]
            raise DataError(
                f"{self.root}: {count:,} of {total:,} images are smaller than the crop of {self.options.crop} px,"
                f" e.g. {name} ({size}); set data.sources.{self.name}.crop=null to crop to the shorter side"
            )

    def _content_hash(self, which: str) -> str:
        """Hash of the names and content of a split, before crop and size."""
        if self._generated is not None:
            return files.canonical_hash([self._generated.fingerprint, self._files_of(which).names])
        return self._hashes[which].digest

    @property
    def _skips(self) -> bool:
        return self.options.unreadable == "skip"

    def _on_problem(self, kind: str, path: Path, problem: str) -> None:
        """The ``ProblemHandler`` of training. Raises DataError, unless the problem is a row that can be skipped."""
        if kind not in ROW_PROBLEMS:
            raise_problem(kind, path, problem)
        if not self._skips:
            raise self._with_advice(DataError(f"{path}: {problem}"))
        self._skipped_rows.append(f"{path.name}: {problem}")

    def _with_advice(self, error: DataError) -> DataError:
        if self._generated is not None:
            return DataError(f"{error}; delete {self.root} to generate it again")
        return DataError(
            f"{error}; run `stargan-lab data check` to list all problems,"
            f" or set data.sources.{self.name}.unreadable=skip to skip such files and rows"
        )
