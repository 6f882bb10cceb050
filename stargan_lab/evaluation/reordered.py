"""A dataset with its test and reference images in a random order, so that the first ones are a random selection.

Shapes: n images of a split, A labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stargan_lab.data.protocols import GroundTruth, ImageSet, ImageSource
from stargan_lab.evaluation.real_images import reference_split
from stargan_lab.files import canonical_hash
from stargan_lab.labels import LabelSpec
from stargan_lab.seeding import generator_for


def reordered(source: ImageSource, seed: int, max_images: int | None) -> ImageSource:
    """``source`` in the order of an evaluation seed; unchanged for seed 0 and if ``max_images`` leaves no image out."""
    return _Reordered(source, seed) if seed and leaves_out(source, max_images) else source


def leaves_out(source: ImageSource, max_images: int | None) -> bool:
    """Whether the limit leaves out test images, or reference images of some domain."""
    if max_images is None:
        return False
    references = source.split(reference_split(source)).labels.sum(0)
    return len(source.split("test")) > max_images or bool((references > max_images).any())


class _Reordered:
    """Satisfies ``data.protocols.ImageSource``; the images of ``train`` are reordered only if they are references."""

    def __init__(self, source: ImageSource, seed: int) -> None:
        self._source, self._seed = source, seed
        self.name: str = source.name
        self.spec: LabelSpec = source.spec
        self.flip: bool = source.flip
        self._orders = {
            which: torch.randperm(len(source.split(which)), generator=generator_for(seed, "evaluation order", which))
            for which in ("test", reference_split(source))
        }

    @property
    def fingerprint(self) -> str:
        """Not that of the dataset, so that caches do not confuse the two orders."""
        return canonical_hash([self._source.fingerprint, "evaluation order", self._seed])

    @property
    def ground_truth(self) -> GroundTruth | None:
        original = self._source.ground_truth
        return None if original is None else _ReorderedGroundTruth(original, self._orders)

    def prepare(self) -> None:
        self._source.prepare()

    def splits(self) -> Sequence[str]:
        return self._source.splits()

    def split(self, which: str) -> ImageSet:
        images, order = self._source.split(which), self._orders.get(which)
        return images if order is None else _ReorderedImages(images, order)


class _ReorderedImages:
    """Satisfies ``data.protocols.ImageSet``.

    Args:
        order: (n,) positions in ``original``.
    """

    def __init__(self, original: ImageSet, order: Tensor) -> None:
        self._original, self._order = original, order
        self.labels: Tensor = original.labels[order]
        self.names: Sequence[str] = [original.names[index] for index in order.tolist()]

    def __len__(self) -> int:
        return len(self._order)

    def images(self, indices: Sequence[int]) -> Tensor:
        return self._original.images(self._order[list(indices)].tolist())


@dataclass(frozen=True)
class _ReorderedGroundTruth:
    original: GroundTruth
    orders: dict[str, Tensor]

    def redraw(self, split: str, indices: Sequence[int], names: Sequence[str], labels: Tensor) -> Tensor:
        chosen = self.orders[split][list(indices)].tolist() if split in self.orders else indices
        return self.original.redraw(split, chosen, names, labels)
