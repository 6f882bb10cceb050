"""Datasets of image files: what any of them does with the files that its listing names, and how they are served."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.data.annotations import ROW_FLAWS, SPLITS, refuse
from stargan_lab.data.image_reader import Contents, contents
from stargan_lab.data.listing import Listing, SplitRows
from stargan_lab.data.packed import PackedSet, pack
from stargan_lab.data.protocols import GroundTruth
from stargan_lab.data.synthfaces.dataset import SynthFacesGroundTruth, SynthSpec, make_synthfaces, read_spec
from stargan_lab.data.transforms import UnreadableImage, read_image
from stargan_lab.data.tree import first
from stargan_lab.errors import DataError, unknown
from stargan_lab.labels import LabelSpec

Crop = Annotated[int, Field(ge=1)] | None
Limit = Annotated[int, Field(ge=1)] | None
Side = Annotated[int, Field(ge=8)] | None
Many = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Difficulty = Annotated[float, Field(ge=0, le=1)]
Unreadable = Literal["stop", "skip"]


@dataclass(frozen=True)
class Serving:
    """How a dataset's images are served.

    Attributes:
        crop: side in px of the centred square; None takes the largest.
        image_size: side in px of the images served.
        limits: of train, valid and test, take only the first so many that are listed.
        unreadable: ``stop`` at a file that is missing or no image and at a flawed row of a list, or ``skip`` them.
    """

    crop: int | None
    image_size: int
    flip: bool
    limits: tuple[int | None, int | None, int | None] = (None, None, None)
    unreadable: Unreadable = "stop"


class PackedSource:
    """A folder of labelled images (an ``ImageSource``), packed at the size they are served.

    Args:
        outputs: where caches go.
        drawn: of the SynthFaces to draw into the folder when missing; None: the folder is what it is.
    """

    def __init__(self, listing: Listing, serving: Serving, outputs: Path, drawn: SynthSpec | None = None) -> None:
        self.name = listing.dataset
        self.root = listing.root
        self.serving = serving
        self.flip = serving.flip
        self._listing = listing
        self._outputs = outputs
        self._drawn = drawn
        self._packed: dict[str, PackedSet] = {}
        self._flawed: list[str] = []  # rows of lists

    @cached_property
    def spec(self) -> LabelSpec:
        return self._listing.spec

    @cached_property
    def fingerprint(self) -> str:
        """Of everything the pixels, labels and names served depend on; the files left out are not among them.

        A drawn dataset goes by its spec, any other by the content of its files, wherever they lie.
        """
        served = [list(self.spec.names), self.spec.kind, self.serving.crop, self.serving.image_size]
        if self._drawn is not None:
            return files.canonical_hash([self._drawn.fingerprint, self._listing.selection(), served])
        parts = [[which, self._content(which), _labels_digest(self._rows_of(which))] for which in self.splits()]
        return files.canonical_hash([parts, served])

    @cached_property
    def ground_truth(self) -> GroundTruth | None:
        """The exact ground truth, where the folder was drawn by SynthFaces."""
        spec = self._drawn or read_spec(self.root)
        if spec is None:
            return None
        names, serving = self.spec.names, self.serving
        return SynthFacesGroundTruth(
            spec, names, serving.crop, serving.image_size, lambda which: self._rows_of(which).names
        )

    def prepare(self) -> None:
        """Draw what is missing and pack every split; says what was left out. Raises DataError that names the path."""
        for which in self.splits():
            self.split(which)
        if left_out := self.left_out():
            listed = sum(len(rows.names) for rows in self.listed.values())
            text = f"{self.name}: left out {len(left_out):,} of {listed:,} images, unreadable: {first(left_out)}"
            tqdm.write(text, file=sys.stderr)
        if self._flawed:
            text = f"{self.name}: left out {len(self._flawed):,} flawed rows of its lists: {first(self._flawed)}"
            tqdm.write(text, file=sys.stderr)

    def splits(self) -> Sequence[str]:
        return [which for which in SPLITS if which in self._rows]

    def split(self, which: str) -> PackedSet:
        """One split, packed first if it is not yet. Raises DataError for a split that does not exist."""
        if which in self._packed:  # asked for in every training step
            return self._packed[which]
        rows, serving = self._rows_of(which), self.serving
        key = files.canonical_hash([self._content(which), serving.crop, serving.image_size])
        path = self._outputs / "cache" / "packed" / f"{key[:32]}.npy"
        paths = [self._listing.folder / name for name in rows.names]
        what = f"packing {self.name}/{which}"
        try:
            pack(path, paths, lambda p: read_image(p, serving.crop, serving.image_size), serving.image_size, what)
        except UnreadableImage as error:
            raise self._stop(error) from None
        self._packed[which] = PackedSet(path, rows.names, torch.from_numpy(rows.labels))
        return self._packed[which]

    def left_out(self) -> list[str]:
        """The listed files that ``unreadable=skip`` leaves out."""
        if not self._skips:
            return []
        return [name for which in self.listed for name in self._contents[which].unreadable]

    def listing(self) -> Listing:
        """What lies in the folder; draws the dataset first when that is asked for."""
        if self._drawn is not None:
            make_synthfaces(self.root, self._drawn)
        return self._listing

    def file_names(self, which: str) -> Sequence[str]:
        """The files of a split; nothing is drawn or packed for it. Raises DataError for a split that does not exist."""
        if self._drawn is not None and read_spec(self.root) != self._drawn:
            return self._listing.file_names(self._drawn, which)
        return self._rows_of(which).names

    @cached_property
    def listed(self) -> dict[str, SplitRows]:
        """Split -> rows, limits applied; by lists or folders, no image is opened. Raises DataError at their flaws."""
        limits = dict(zip(SPLITS, self.serving.limits, strict=True))
        self._flawed.clear()
        found = self.listing().rows(self._complain)
        if self._flawed and not found:
            rows = f"{len(self._flawed):,} rows of the lists"
            raise DataError(f"{self.root}: no image is left, {rows} are flawed; first {self._flawed[0]}")
        return {
            which: SplitRows(rows.names[: limits[which]], rows.labels[: limits[which]]) for which, rows in found.items()
        }

    @cached_property
    def _contents(self) -> dict[str, Contents]:
        """Split -> what its files hold. Reads every one of them, once."""
        skip, cache = self.serving.unreadable == "skip", self._outputs / "cache" / "fingerprints"
        try:
            return {
                which: contents(self._listing.folder, rows.names, skip, cache, f"hashing {self.name}/{which}")
                for which, rows in self.listed.items()
            }
        except UnreadableImage as error:
            raise self._stop(error) from None

    @cached_property
    def _rows(self) -> dict[str, SplitRows]:
        """Split -> rows that are served."""
        if not self.left_out():
            return self.listed
        served = {}
        for which, rows in self.listed.items():
            unreadable = self._contents[which].unreadable
            kept = [i for i, name in enumerate(rows.names) if name not in unreadable]
            if not kept:
                why = next(iter(unreadable.values()))
                raise DataError(f"{self.root}: none of the {len(rows.names):,} {which} images can be read; first {why}")
            served[which] = rows.take(kept)
        return served

    def _rows_of(self, which: str) -> SplitRows:
        if which not in self._rows:
            raise DataError(f"{self.root}: {unknown('split', which, self._rows)}")
        return self._rows[which]

    def _content(self, which: str) -> str:
        """What the names and pixels of a split depend on, before crop and size."""
        if self._drawn is not None:
            return files.canonical_hash([self._drawn.fingerprint, self._rows_of(which).names])
        return self._contents[which].digest

    @property
    def _skips(self) -> bool:
        return self.serving.unreadable == "skip" and self._drawn is None

    def _complain(self, kind: str, path: Path, flaw: str) -> None:
        """The ``Complain`` of training. Raises DataError, unless a row is flawed and such rows are left out."""
        if kind not in ROW_FLAWS:
            refuse(kind, path, flaw)
        if not self._skips:
            raise self._stop(DataError(f"{path}: {flaw}"))
        self._flawed.append(f"{path.name}: {flaw}")

    def _stop(self, error: DataError) -> DataError:
        if self._drawn is not None:
            return DataError(f"{error}; remove {self.root} to have it drawn again")
        return DataError(
            f"{error}; `stargan-lab data check` lists all that is broken,"
            f" data.sources.{self.name}.unreadable=skip leaves such files and rows out"
        )


def _labels_digest(rows: SplitRows) -> str:
    return files.sha256_bytes([rows.labels.tobytes()])
