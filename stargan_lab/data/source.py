"""Datasets of image files: what any of them does with the files that its listing names, and how they are served."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.batch import GroundTruth, LabelSpec
from stargan_lab.data.lists import SPLITS, Complain, refuse
from stargan_lab.data.packed import PackedSet, pack
from stargan_lab.data.scan import Contents, contents
from stargan_lab.data.synthfaces import SynthSpec, Truth, make_synthfaces, read_spec
from stargan_lab.data.transforms import UnreadableImage, read_image
from stargan_lab.data.tree import first
from stargan_lab.errors import DataError, unknown

Crop = Annotated[int, Field(ge=1)] | None
Limit = Annotated[int, Field(ge=1)] | None
Side = Annotated[int, Field(ge=8)] | None
Many = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Difficulty = Annotated[float, Field(ge=0, le=1)]
Unreadable = Literal["stop", "skip"]


@dataclass(frozen=True)
class Rows:
    """The images of a split: n file names, relative to the listing's folder, and (n, A) float32 labels of 0 and 1."""

    names: list[str]
    labels: np.ndarray

    def take(self, chosen: Sequence[int]) -> "Rows":
        return Rows([self.names[i] for i in chosen], self.labels[list(chosen)])


class Listing(Protocol):
    """What lies in a folder, by its lists or its tree; no image is opened."""

    @property
    def dataset(self) -> str:
        """The source's name in the configuration."""
        ...

    @property
    def root(self) -> Path: ...

    @property
    def spec(self) -> LabelSpec:
        """The labels; at most the tree's folders are looked at. Raises DataError when there is no such tree."""
        ...

    @property
    def folder(self) -> Path:
        """Where file names start from. Raises DataError that says what is expected when it is not there."""
        ...

    def rows(self, complain: Complain = refuse) -> Mapping[str, Rows]:
        """Split -> its images, a split without any left out; what ``complain`` is told of and returns from is too."""
        ...

    def selection(self) -> list[object]:
        """What else decides which of the files are in which split."""
        ...

    def remarks(self) -> Iterator[tuple[str, str]]:
        """What is served well but worth knowing: its kind (a plural), and where. Each file that is not listed, too."""
        ...

    def widest(self) -> "Listing":
        """The same folder with every label it has."""
        ...


@dataclass(frozen=True)
class Serving:
    """How a dataset's images are served.

    Attributes:
        crop: side in px of the centred square; None takes the largest.
        image_size: side in px of the images served.
        limits: of train, valid and test, take only the first so many that are listed.
        unreadable: ``stop`` at a file that is missing or no image, or ``skip`` it.
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
    def truth(self) -> GroundTruth | None:
        """The exact answers, where the folder was drawn by SynthFaces."""
        spec = self._drawn or read_spec(self.root)
        if spec is None:
            return None
        names, serving = self.spec.names, self.serving
        return Truth(spec, names, serving.crop, serving.image_size, lambda which: self._rows_of(which).names)

    def prepare(self) -> None:
        """Draw what is missing and pack every split; says what was left out. Raises DataError that names the path."""
        for which in self.splits():
            self.split(which)
        if left_out := self.left_out():
            listed = sum(len(rows.names) for rows in self._listed.values())
            text = f"{self.name}: left out {len(left_out):,} of {listed:,} images, unreadable: {first(left_out)}"
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
        """The files that ``unreadable=skip`` leaves out."""
        if self.serving.unreadable == "stop" or self._drawn is not None:
            return []
        return [name for which in self._listed for name in self._contents[which].unreadable]

    def listing(self) -> Listing:
        """What lies in the folder; draws the dataset first when that is asked for."""
        if self._drawn is not None:
            make_synthfaces(self.root, self._drawn)
        return self._listing

    @cached_property
    def _listed(self) -> dict[str, Rows]:
        """Split -> rows, limits applied."""
        limits = dict(zip(SPLITS, self.serving.limits, strict=True))
        found = self.listing().rows()
        return {which: Rows(rows.names[: limits[which]], rows.labels[: limits[which]]) for which, rows in found.items()}

    @cached_property
    def _contents(self) -> dict[str, Contents]:
        """Split -> what its files hold. Reads every one of them, once."""
        skip, cache = self.serving.unreadable == "skip", self._outputs / "cache" / "fingerprints"
        try:
            return {
                which: contents(self._listing.folder, rows.names, skip, cache, f"hashing {self.name}/{which}")
                for which, rows in self._listed.items()
            }
        except UnreadableImage as error:
            raise self._stop(error) from None

    @cached_property
    def _rows(self) -> dict[str, Rows]:
        """Split -> rows that are served."""
        if not self.left_out():
            return self._listed
        served = {}
        for which, rows in self._listed.items():
            unreadable = self._contents[which].unreadable
            kept = [i for i, name in enumerate(rows.names) if name not in unreadable]
            if not kept:
                why = next(iter(unreadable.values()))
                raise DataError(f"{self.root}: none of the {len(rows.names):,} {which} images can be read; first {why}")
            served[which] = rows.take(kept)
        return served

    def _rows_of(self, which: str) -> Rows:
        if which not in self._rows:
            raise DataError(f"{self.root}: {unknown('split', which, self._rows)}")
        return self._rows[which]

    def _content(self, which: str) -> str:
        """What the names and pixels of a split depend on, before crop and size."""
        if self._drawn is not None:
            return files.canonical_hash([self._drawn.fingerprint, self._rows_of(which).names])
        return self._contents[which].digest

    def _stop(self, error: UnreadableImage) -> DataError:
        if self._drawn is not None:
            return DataError(f"{error}; remove {self.root} to have it drawn again")
        return DataError(
            f"{error}; `stargan-lab data check` lists all that is broken,"
            f" data.sources.{self.name}.unreadable=skip leaves such files out"
        )


def _labels_digest(rows: Rows) -> str:
    return files.sha256_bytes([rows.labels.tobytes()])
