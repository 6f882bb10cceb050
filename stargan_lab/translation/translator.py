"""A generator ready to use: images and labels of any of its datasets in, images out."""

from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stargan_lab.labels import LabelLayout


@dataclass(frozen=True)
class Translator:
    """Callable as evaluation and samples take it: ``(images, labels, source) -> images``.

    Attributes:
        generator: as built; its norms use each image's own statistics, so there is no mode to set.
        layout: of its labels.
        mixed: bfloat16 by autocast, as in training with that precision.
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
        """Translate images of dataset ``source``.

        Args:
            images: (N, 3, H, W) in [-1, 1]; H and W multiples of ``size_multiple``.
            labels: (N, A) of 0 and 1, the targets.
        Returns:
            (N, 3, H, W) float32 in [-1, 1], on ``device``.
        """
        dtype = next(self.generator.parameters()).dtype
        asked = self.layout.generator_label(labels.to(self.device, dtype), source)
        with torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext():
            translated: Tensor = self.generator(images.to(self.device, dtype), asked).float()
        return translated
