"""Generators: (N, 3, H, W) images in [-1, 1] and (N, K) labels to (N, 3, H, W) images in [-1, 1]."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from stargan_lab.models.blocks import ResidualBlock
from stargan_lab.models.initialise import named
from stargan_lab.registry import family

GENERATORS = family("generator")


@GENERATORS.register("resnet", source="Choi et al. 2018 (arXiv:1711.09020), table 4; Zhu et al. 2017")
class ResNetGenerator(nn.Module):
    """CycleGAN's residual generator with the label as an input; the reference's.

    Under the defaults its state dict has the reference's keys and shapes. Convolutions have no bias: a norm follows.

    Args:
        label_width: K, the length of a label.
        width: channels after the first convolution; doubled by each of the two stride-2 convolutions.
        blocks: residual blocks at the lowest resolution.
        norm: a name of the ``norm`` family.
        affine: scale and shift in the norms; None: as the conditioning needs.
        conditioning, output, padding: names of the families of the same name.
        inplace: ReLU overwrites its input.
    """

    size_multiple = 4
    """Height and width must be a multiple of this."""

    def __init__(
        self,
        label_width: int,
        *,
        width: Annotated[int, Field(ge=1, le=1024)] = 64,
        blocks: Annotated[int, Field(ge=0, le=64)] = 6,
        norm: str = "instance",
        affine: bool | None = None,
        conditioning: str = "concat",
        output: str = "tanh",
        padding: str = "zero",
        inplace: bool = True,
    ) -> None:
        super().__init__()
        self.condition = family("conditioning").build(conditioning)
        self.label_width = label_width
        scaled = self.condition.affine_default if affine is None else affine
        mode = family("padding").build(padding)

        def norm_of(channels: int) -> nn.Module:
            return family("norm").build(norm, channels, scaled)

        def conv(role: str, before: int, after: int, kernel: int, stride: int, pad: int) -> nn.Module:
            return named(nn.Conv2d(before, after, kernel, stride, pad, bias=False, padding_mode=mode), role)

        def up(role: str, before: int, after: int) -> nn.Module:
            return named(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), role)

        layers: list[nn.Module] = []
        channels = width
        layers += [conv("first", self.condition.input_channels(label_width), width, 7, 1, 3)]
        layers += [norm_of(width), nn.ReLU(inplace)]
        for index in range(2):
            layers += [conv(f"down.{index}", channels, 2 * channels, 4, 2, 1)]
            channels *= 2
            layers += [norm_of(channels), nn.ReLU(inplace)]
        layers += [ResidualBlock(channels, norm_of, mode, inplace, f"block.{i}") for i in range(blocks)]
        for index in range(2):
            layers += [up(f"up.{index}", channels, channels // 2)]
            channels //= 2
            layers += [norm_of(channels), nn.ReLU(inplace)]
        layers += [conv("last", width, 3, 7, 1, 3), family("output").build(output)]
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.main(self.condition(images, labels))
