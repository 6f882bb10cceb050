"""How the generator receives the label: as input channels, or as scale and shift of its norms.

Traits:
    planes: the label is concatenated as constant planes.
    brings_affine: the label sets the norms' scale and shift.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from stargan_lab.registry import family

CONDITIONINGS = family("conditioning")


class Conditioning(Protocol):
    """Built with the label's width K."""

    affine_default: bool
    """Whether the norms learn scale and shift when ``affine`` is None."""
    input_channels: int
    """Input channels of the first convolution."""

    def inputs(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N, 3, H, W) and (N, K) to (N, input_channels, H, W)."""
        ...

    def norm(self, norm: Callable[[int, bool], nn.Module], channels: int, affine: bool) -> nn.Module:
        """A norm for the generator, a ``LabeledModule`` if it also takes the label."""
        ...


class LabeledModule(nn.Module):
    """A layer whose ``forward(x, labels)`` takes (N, C, H, W) and (N, K)."""


class LabeledSequential(nn.Sequential):
    """An ``nn.Sequential`` that passes the label to the layers that take it; same state dict keys."""

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, labels) if isinstance(layer, LabeledModule | LabeledSequential) else layer(x)
        return x


@CONDITIONINGS.register("concat", source="Choi et al. 2018 (arXiv:1711.09020), section 3.1", traits=["planes"])
class Concat:
    """Concatenates the label, expanded to constant planes, to the image's channels.

    Away from the border, a constant plane shifts a channel by a constant, which instance norm removes. With instance
    norm, labels therefore act only through the zero padding of the first convolution.
    """

    affine_default = True

    def __init__(self, label_width: int) -> None:
        self.input_channels = 3 + label_width

    def inputs(self, images: Tensor, labels: Tensor) -> Tensor:
        planes = labels[:, :, None, None].expand(-1, -1, *images.shape[-2:])
        return torch.cat([images, planes], dim=1)

    def norm(self, norm: Callable[[int, bool], nn.Module], channels: int, affine: bool) -> nn.Module:
        return norm(channels, affine)


class ConditionalNorm(LabeledModule):
    """(1 + γ) · norm(x) + β, where γ and β (N, C) are linear functions of the label (N, K)."""

    def __init__(self, norm: nn.Module, label_width: int, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.affine = nn.Linear(label_width, 2 * channels)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        scale, shift = self.affine(labels)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * self.norm(x) + shift


@CONDITIONINGS.register(
    "adain",
    source="Dumoulin et al. 2017 (arXiv:1610.07629); Huang & Belongie 2017 (arXiv:1703.06868)",
    traits=["brings_affine"],
)
class AdaptiveNorm:
    """Scale and shift of every norm are linear functions of the label; conditional instance norm with norm=instance."""

    affine_default = False
    input_channels = 3

    def __init__(self, label_width: int) -> None:
        self._label_width = label_width

    def inputs(self, images: Tensor, labels: Tensor) -> Tensor:
        return images

    def norm(self, norm: Callable[[int, bool], nn.Module], channels: int, affine: bool) -> nn.Module:
        return ConditionalNorm(norm(channels, affine), self._label_width, channels)
