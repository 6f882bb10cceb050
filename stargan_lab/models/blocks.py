"""Pieces generators are made of: padding, output activations, layers by role, the residual block.

Traits: ``zeros`` marks a padding whose border tells a constant plane apart, ``needs_map`` one that a 1x1 map has no
border for.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from stargan_lab.models.conditioning import Conditioning, LabelledModule, LabelledSequential
from stargan_lab.models.initialise import named
from stargan_lab.registry import family

OUTPUTS = family("output")
PADDINGS = family("padding")

PaddingMode = Literal["zeros", "reflect", "replicate"]


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
    traits = {"zeros": ["zeros"], "reflect": ["needs_map"]}.get(mode, [])

    def padding() -> PaddingMode:
        return mode

    padding.__doc__ = summary
    PADDINGS.register("zero" if mode == "zeros" else mode, source=source, traits=traits)(padding)


_padding("zeros", "Zeros; what lets a concatenated label through instance norm.", "Choi et al. 2018 (arXiv:1711.09020)")
_padding("reflect", "Mirror image of the border.", "Zhu et al. 2017 (arXiv:1703.10593)")
_padding("replicate", "The border's own values.")


class LayerFactory:
    """Layers of a generator by its settings: every convolution and norm is made here, under the role it plays.

    Args:
        label_width: K, the length of a label.
        norm: a name of the ``norm`` family.
        affine: scale and shift in the norms; None: as the conditioning needs.
        conditioning, output, padding: names of the families of the same name.
        inplace: activations overwrite their input.
    """

    def __init__(
        self,
        label_width: int,
        *,
        norm: str,
        affine: bool | None,
        conditioning: str,
        output: str,
        padding: str,
        inplace: bool,
    ) -> None:
        self.condition: Conditioning = family("conditioning").build(conditioning, label_width)
        self.affine = self.condition.affine_default if affine is None else affine
        self.inplace = inplace
        self._norm, self._output = norm, output
        self._mode: PaddingMode = PADDINGS.build(padding)

    def conv(
        self, role: str, before: int, after: int, kernel: int, stride: int, padding: int, bias: bool = False
    ) -> nn.Module:
        layer = nn.Conv2d(before, after, kernel, stride, padding, bias=bias, padding_mode=self._mode)
        return named(layer, role)

    def up(self, role: str, before: int, after: int) -> nn.Module:
        """Transposed convolution that doubles height and width; torch pads it with zeros only."""
        return named(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), role)

    def norm(self, role: str, channels: int) -> nn.Module:
        made = self.condition.norm(lambda c, affine: family("norm").build(self._norm, c, affine), channels, self.affine)
        for layer in made.modules():
            named(layer, f"norm.{role}")
        return made

    def relu(self) -> nn.Module:
        return nn.ReLU(self.inplace)

    def leaky(self) -> nn.Module:
        return nn.LeakyReLU(0.2, self.inplace)

    def output(self) -> nn.Module:
        return OUTPUTS.build(self._output)


class ResidualBlock(LabelledModule):
    """x + norm(conv(relu(norm(conv(x))))), no activation after the sum (He et al. 2016; reference).

    Args:
        channels: C of the (N, C, H, W) input and output.
        role: under which initial values are drawn.
    """

    def __init__(self, factory: LayerFactory, channels: int, role: str) -> None:
        super().__init__()

        def conv_and_norm(index: int) -> list[nn.Module]:
            place = f"{role}.{index}"
            return [factory.conv(place, channels, channels, 3, 1, 1), factory.norm(place, channels)]

        self.main = LabelledSequential(*conv_and_norm(0), factory.relu(), *conv_and_norm(1))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return x + self.main(x, labels)
