"""Settings and helpers shared by all steps of an evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab import console
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import LabError

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
    """

    max_images: int | None
    batch_size: int
    outputs: Path
    device: torch.device
    progress: bool
    seed: int = 0

    def count(self, source: ImageSource) -> int:
        """Number of test images of ``source`` that are translated."""
        images = len(source.split("test"))
        return images if self.max_images is None else min(images, self.max_images)

    def bar(self, title: str, total: int) -> "tqdm[Any]":
        return console.bar(title, total, shown=self.progress)

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
