"""Settings and helpers shared by all steps of an evaluation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab import console
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import LabError
from stargan_lab.training.distributed import ALONE, World

T = TypeVar("T")

Translate = Callable[[Tensor, Tensor, int], Tensor]
"""(images (N, 3, H, W) in [-1, 1], target labels (N, A), index of the dataset) → images in [-1, 1]."""


@dataclass(frozen=True)
class Context:
    """How to evaluate, independent of the dataset.

    Attributes:
        max_images: maximum number of test images, and of reference images per domain; None: all.
        batch_size: images translated together.
        outputs: its ``cache`` directory contains attribute classifiers, features and ground truth.
        progress: whether to show progress bars.
        seed: of everything that the evaluation draws at random.
        world: the processes that share the work; they have equal generators and datasets.
    """

    max_images: int | None
    batch_size: int
    outputs: Path
    device: torch.device
    progress: bool
    seed: int = 0
    world: World = ALONE

    def count(self, source: ImageSource) -> int:
        """Number of test images of ``source`` that are translated."""
        images = len(source.split("test"))
        return images if self.max_images is None else min(images, self.max_images)

    def bar(self, title: str, total: int) -> "tqdm[Any]":
        return console.bar(title, total, shown=self.progress)

    def by_domain(
        self, domains: int, images: int, measure: Callable[[int, range], T]
    ) -> Iterator[tuple[int, Iterator[T]]]:
        """Each domain with the measurements of its batches, in the order of the images; see ``World.map``.

        Each process measures entire batches, so that a batch, and thus the rounding of its measurements, does not
        depend on the number of processes.

        Args:
            images: their number.
            measure: maps a domain and the positions of a batch's images to something that can be pickled.
        """
        tasks = [
            (domain, range(start, min(start + self.batch_size, images)))
            for domain in range(domains)
            for start in range(0, images, self.batch_size)
        ]
        measured = self.world.map(lambda task: (task[0], measure(*task)), tasks)
        for domain, batches in groupby(measured, key=itemgetter(0)):
            yield domain, (batch for _, batch in batches)

    @torch.no_grad()
    def translate(self, translate: Translate, images: Tensor, labels: Tensor, index: int, dataset: str) -> Tensor:
        """(N, 3, H, W) uint8 images → their translations as uint8 on the CPU.

        Args:
            index: the dataset that the labels belong to.
            dataset: name of the dataset, for the error message.
        Raises:
            LabError: an output is not finite, which would be invisible in an 8-bit image.
        """
        y = translate(to_float(images.to(self.device)), labels.to(self.device), index).float()
        if not torch.isfinite(y).all():
            raise LabError(f"{dataset}: a translated test image has non-finite values; the generator has diverged")
        return to_uint8(y).cpu()
