"""What every step of one scoring shares."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import LabError

Translate = Callable[[Tensor, Tensor, int], Tensor]
"""(images (N, 3, H, W) in [-1, 1], target labels (N, A), index of the dataset) → images in [-1, 1]."""


@torch.no_grad()
def translated(
    translate: Translate, images: Tensor, labels: Tensor, index: int, name: str, device: torch.device
) -> Tensor:
    """(N, 3, H, W) uint8 images of dataset ``index``, called ``name``, under new labels, as uint8 on the CPU.

    Raises:
        LabError: an output is not finite, which no 8-bit image would show.
    """
    y = translate(to_float(images.to(device)), labels.to(device), index).float()
    if not torch.isfinite(y).all():
        raise LabError(f"{name}: a translated test image is not finite; the generator has diverged")
    return to_uint8(y).cpu()


@dataclass(frozen=True)
class Setting:
    """How many images, how many at once, where caches are, on which device, and whether bars are shown."""

    max_images: int | None
    batch_size: int
    outputs: Path
    device: torch.device
    progress: bool

    def count(self, source: ImageSource) -> int:
        """How many test images of ``source`` are translated."""
        images = len(source.split("test"))
        return images if self.max_images is None else min(images, self.max_images)


@dataclass(frozen=True)
class EvaluationWarning:
    """A failure that a plain number would hide.

    Attributes:
        code: label-ignored, returns-input, collapse, few-images, one-class, weak-classifier or no-weights.
        metrics: which scores it bears on, without domains; none means all of them.
        text: one line.
    """

    code: str
    metrics: tuple[str, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "metrics": list(self.metrics), "text": self.text}
