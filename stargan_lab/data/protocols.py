"""Interfaces of the data package: datasets as training and evaluation use them, and listings of image directories.

Shapes: n images of a split, A labels, H W pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from stargan_lab.data.problems import ProblemHandler, raise_problem
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.labels import LabelSpec


class ImageSet(Protocol):
    """One split of a dataset: labels in memory, images on demand."""

    labels: Tensor
    """(n, A) float32 of 0 and 1."""
    names: Sequence[str]
    """n file names, in the order of ``labels``."""

    def __len__(self) -> int: ...

    def images(self, indices: Sequence[int]) -> Tensor:
        """(len(indices), 3, H, W) uint8, cropped and resized, not flipped."""
        ...


class GroundTruth(Protocol):
    """Renders any image of a SynthFaces dataset with any other labels."""

    def redraw(self, split: str, indices: Sequence[int], names: Sequence[str], labels: Tensor) -> Tensor:
        """(k, 3, H, W) uint8: images ``indices`` (k) of ``split`` with other ``labels``; all else is unchanged.

        Args:
            names, labels: (k, len(names)) of any names, also those of another SynthFaces dataset.
        """
        ...


class ImageSource(Protocol):
    """A dataset. The constructor reads no files."""

    name: str
    spec: LabelSpec
    flip: bool
    """Whether training flips images left to right with probability 1/2."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything the images and labels depend on; does not need ``prepare``."""
        ...

    @property
    def ground_truth(self) -> GroundTruth | None: ...

    def prepare(self) -> None:
        """Generate or pack whatever is missing, with a progress bar. Raises DataError that names the path."""
        ...

    def splits(self) -> Sequence[str]:
        """Those of train, valid and test that exist."""
        ...

    def split(self, which: str) -> ImageSet: ...


@dataclass(frozen=True)
class SplitFiles:
    """The files of a split: n names, relative to the listing's ``folder``, and (n, A) float32 labels of 0 and 1."""

    names: list[str]
    labels: np.ndarray

    def select(self, indices: Sequence[int]) -> "SplitFiles":
        return SplitFiles([self.names[i] for i in indices], self.labels[list(indices)])


class Listing(Protocol):
    """The labeled images of a directory according to its annotation files or class directories; no image is opened."""

    @property
    def dataset(self) -> str:
        """The source's name in the configuration."""
        ...

    @property
    def root(self) -> Path: ...

    @property
    def spec(self) -> LabelSpec:
        """The labels. Raises DataError when they come from class directories and there are none."""
        ...

    @property
    def folder(self) -> Path:
        """The directory that file names are relative to. Raises DataError with the expected layout if it is missing."""
        ...

    def splits(self, on_problem: ProblemHandler = raise_problem) -> Mapping[str, SplitFiles]:
        """Split -> its files, without empty splits and invalid rows. Raises whatever ``on_problem`` raises."""
        ...

    def split_options(self) -> list[object]:
        """The options that decide which file is in which split."""
        ...

    def generated_names(self, spec: SynthSpec, which: str) -> list[str]:
        """The names that ``splits`` will list for a split once ``spec`` has been generated into the directory."""
        ...

    def notes(self) -> Iterator[tuple[str, str]]:
        """(kind, where) of harmless findings, such as unlisted files; ``kind`` is a plural noun."""
        ...

    def with_all_labels(self) -> "Listing":
        """The same directory with all available labels."""
        ...
