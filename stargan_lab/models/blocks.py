"""Pieces generators are made of: padding, output activations, the residual block."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from stargan_lab.models.initialise import named
from stargan_lab.registry import family

OUTPUTS = family("output")
PADDINGS = family("padding")

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


@OUTPUTS.register("tanh", source="Choi et al. 2018 (arXiv:1711.09020)")
def tanh() -> nn.Module:
    """tanh, as images are in [-1, 1]."""
    return nn.Tanh()


class ScaledSigmoid(nn.Module):
    """Sigmoid mapped to [-1, 1]; equal to tanh(x / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(x) - 1


@OUTPUTS.register("sigmoid")
def sigmoid() -> nn.Module:
    """Sigmoid mapped to [-1, 1]; equal to tanh(x / 2), so only the scale of the last layer differs."""
    return ScaledSigmoid()


def _padding(mode: PaddingMode, summary: str, source: str = "") -> None:
    def padding() -> PaddingMode:
        return mode

    padding.__doc__ = summary
    PADDINGS.register("zero" if mode == "zeros" else mode, source=source)(padding)


_padding("zeros", "Zeros; what lets a concatenated label through instance norm.", "Choi et al. 2018 (arXiv:1711.09020)")
_padding("reflect", "Mirror image of the border.", "Zhu et al. 2017 (arXiv:1703.10593)")
_padding("replicate", "The border's own values.")


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), no activation after the sum (He et al. 2016; reference).

    Args:
        channels: C of the (N, C, H, W) input and output.
        norm: builds a norm for a number of channels.
        role: under which initial values are drawn.
    """

    def __init__(
        self, channels: int, norm: Callable[[int], nn.Module], padding_mode: PaddingMode, inplace: bool, role: str
    ) -> None:
        super().__init__()

        def conv(index: int) -> nn.Module:
            layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False, padding_mode=padding_mode)
            return named(layer, f"{role}.{index}")

        self.main = nn.Sequential(conv(0), norm(channels), nn.ReLU(inplace), conv(1), norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)
