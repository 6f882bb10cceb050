"""Building blocks of generators: padding, output activations, the layer factory, the residual block.

Traits of a padding:
    zeros: pads with zeros, so that a constant plane is not constant at the border.
    needs_map: undefined on a 1x1 map.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stargan_lab.models.conditioning import Conditioning, LabeledModule, LabeledSequential
from stargan_lab.models.few_outputs import Conv2d
from stargan_lab.models.initialize import named
from stargan_lab.registry import family

OUTPUTS = family("output")
PADDINGS = family("padding")

PaddingMode = Literal["zeros", "reflect", "replicate"]


@OUTPUTS.register("tanh", source="Choi et al. 2018 (arXiv:1711.09020)")
def tanh() -> nn.Module:
    """tanh; images are in [-1, 1]."""
    return nn.Tanh()


class ScaledSigmoid(nn.Module):
    """Sigmoid scaled to [-1, 1]; equal to tanh(x / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(x) - 1


@OUTPUTS.register("sigmoid")
def sigmoid() -> nn.Module:
    """Sigmoid scaled to [-1, 1]; equals tanh(x / 2), so only the scale of the last layer differs from tanh."""
    return ScaledSigmoid()


def _padding(mode: PaddingMode, summary: str, source: str = "") -> None:
    traits = {"zeros": ["zeros"], "reflect": ["needs_map"]}.get(mode, [])

    def padding() -> PaddingMode:
        return mode

    padding.__doc__ = summary
    PADDINGS.register("zero" if mode == "zeros" else mode, source=source, traits=traits)(padding)


_padding(
    "zeros",
    "Zeros; needed for concatenated labels to have an effect with instance norm.",
    "Choi et al. 2018 (arXiv:1711.09020)",
)
_padding("reflect", "Reflection of the image at its border.", "Zhu et al. 2017 (arXiv:1703.10593)")
_padding("replicate", "Copies of the border pixels.")


class LayerFactory:
    """Creates the layers of a generator from its options; ``role`` determines a layer's initial values.

    Args:
        label_width: K, the length of a label.
        norm, norm_options: a name of the ``norm`` family, and the norm's options.
        affine: learn scale and shift in the norms; None: the conditioning's default.
        conditioning, output, padding: names of the families of the same name.
        inplace: activations overwrite their input.
    """

    def __init__(
        self,
        label_width: int,
        norm: str,
        norm_options: Mapping[str, Any] | None,
        affine: bool | None,
        conditioning: str,
        output: str,
        padding: str,
        inplace: bool,
    ) -> None:
        self.condition: Conditioning = family("conditioning").build(conditioning, label_width)
        self.affine = self.condition.affine_default if affine is None else affine
        self.inplace = inplace
        self._norm, self._norm_options, self._output = norm, norm_options or {}, output
        self._mode: PaddingMode = PADDINGS.build(padding)

    def conv(
        self,
        role: str,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int,
        bias: bool = False,
    ) -> nn.Module:
        layer = Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias, padding_mode=self._mode)
        return named(layer, role)

    def up(self, role: str, in_channels: int, out_channels: int) -> nn.Module:
        """Transposed convolution that doubles height and width; torch supports only zero padding for it."""
        return named(nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False), role)

    def norm(self, role: str, channels: int) -> nn.Module:
        def build(channels: int, affine: bool) -> nn.Module:
            norm: nn.Module = family("norm").build(self._norm, channels, affine, **self._norm_options)
            return norm

        layer = self.condition.norm(build, channels, self.affine)
        for module in layer.modules():
            named(module, f"norm.{role}")
        return layer

    def relu(self) -> nn.Module:
        return nn.ReLU(self.inplace)

    def leaky(self) -> nn.Module:
        return nn.LeakyReLU(0.2, self.inplace)

    def output(self) -> nn.Module:
        return OUTPUTS.build(self._output)


def canonical_options(image_size: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """A generator's options with ``affine`` resolved, and without ``inplace``, which cannot change an output."""
    condition: Conditioning = family("conditioning").build(options["conditioning"], 1)
    affine = condition.affine_default if options["affine"] is None else options["affine"]
    without_norm = family("norm").has(options["norm"], "absent")
    return {**options, "affine": None if without_norm else affine, "inplace": None}


class ResidualBlock(LabeledModule):
    """x + norm(conv(relu(norm(conv(x))))), without an activation after the sum (He et al. 2016; reference).

    Args:
        channels: C of the (N, C, H, W) input and output.
        role: determines initial values.
    """

    def __init__(self, factory: LayerFactory, channels: int, role: str) -> None:
        super().__init__()

        def conv_and_norm(index: int) -> list[nn.Module]:
            layer = f"{role}.{index}"
            return [factory.conv(layer, channels, channels, 3, 1, 1), factory.norm(layer, channels)]

        self.main = LabeledSequential(*conv_and_norm(0), factory.relu(), *conv_and_norm(1))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return x + self.main(x, labels)
