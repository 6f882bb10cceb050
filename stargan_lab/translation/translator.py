"""A generator as a function of images and labels."""

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stargan_lab.labels import LabelLayout


@dataclass(frozen=True)
class Translator:
    """``(images, labels, source) -> images``, as evaluation and samples call it.

    Attributes:
        generator: its norms use each image's own statistics, so train and eval mode are equal.
        layout: the labels of its datasets.
        mixed: run in bfloat16 with autocast, as in training with that precision.
    """

    generator: nn.Module
    layout: LabelLayout
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    mixed: bool = False

    @property
    def size_multiple(self) -> int:
        """Height and width must be a multiple of this."""
        return int(getattr(self.generator, "size_multiple", 1))

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor, source: int) -> Tensor:
        """Translate images to labels of dataset ``source``.

        Args:
            images: (N, 3, H, W) in [-1, 1]; H and W multiples of ``size_multiple``.
            labels: (N, A) target labels of 0 and 1.
        Returns:
            (N, 3, H, W) float32 in [-1, 1], on ``device``.
        """
        dtype = next(self.generator.parameters()).dtype
        label = self.layout.generator_label(labels.to(self.device, dtype), source)
        with torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext():
            translated: Tensor = self.generator(images.to(self.device, dtype), label).float()
        return translated
