"""What training and evaluation ask of a dataset."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

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
    """Knows how any image of a drawn dataset would look under any other label."""

    def images(self, split: str, indices: Sequence[int], labels: Tensor) -> Tensor:
        """(n, 3, H, W) uint8: images ``indices`` of ``split`` redrawn with ``labels`` (n, A); factors outside the
        selected labels stay as they are in the image."""
        ...

    def redraw(self, split: str, indices: Sequence[int], names: Sequence[str], labels: Tensor) -> Tensor:
        """The same with labels (n, len(names)) of any names it can draw, such as another drawn dataset's."""
        ...


class ImageSource(Protocol):
    """A dataset: cheap to make, files touched only by ``prepare`` and after."""

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
        """Draw or pack what is missing, with a progress bar. Raises DataError that names the path."""
        ...

    def splits(self) -> Sequence[str]:
        """Which of train, valid, test exist."""
        ...

    def split(self, which: str) -> ImageSet: ...
