"""What a folder of labelled images says lies in it, by its lists or its tree, before any image is opened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from stargan_lab.data.annotations import Complain, refuse
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.labels import LabelSpec


@dataclass(frozen=True)
class SplitRows:
    """The images of a split: n file names, relative to the listing's folder, and (n, A) float32 labels of 0 and 1."""

    names: list[str]
    labels: np.ndarray

    def take(self, chosen: Sequence[int]) -> "SplitRows":
        return SplitRows([self.names[i] for i in chosen], self.labels[list(chosen)])


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

    def rows(self, complain: Complain = refuse) -> Mapping[str, SplitRows]:
        """Split -> its images, a split without any left out; what ``complain`` is told of and returns from is too."""
        ...

    def selection(self) -> list[object]:
        """What else decides which of the files are in which split."""
        ...

    def file_names(self, spec: SynthSpec, which: str) -> list[str]:
        """The files of a split once ``spec`` is drawn into the folder; it need not be yet."""
        ...

    def remarks(self) -> Iterator[tuple[str, str]]:
        """What is served well but worth knowing: its kind (a plural), and where. Each file that is not listed, too."""
        ...

    def widest(self) -> "Listing":
        """The same folder with every label it has."""
        ...
