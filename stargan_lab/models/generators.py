"""Generators: (N, 3, H, W) images in [-1, 1] and (N, K) labels to (N, 3, H, W) images in [-1, 1].

Trait: ``normed_input`` marks a generator whose first convolution is followed by a norm.

A generator may have static methods, called before anything is built:
    refusal(image_size, options): why it cannot be built, starting with the option's name, or None.
    smallest_map(image_size, options): height of the smallest map that a norm or padding is applied to.
    canonical(image_size, options): the same mapping for all options that build the same network; see
        config/run_identity.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, cat, nn

from stargan_lab.models.blocks import LayerFactory, ResidualBlock, canonical_options
from stargan_lab.models.conditioning import LabeledSequential
from stargan_lab.models.norms import norm_refusal
from stargan_lab.registry import Ref, family

GENERATORS = family("generator")

Width = Annotated[int, Field(ge=1, le=1024)]


@GENERATORS.register(
    "resnet", source="Choi et al. 2018 (arXiv:1711.09020), table 4; Zhu et al. 2017", traits=["normed_input"]
)
class ResNetGenerator(nn.Module):
    """CycleGAN's residual generator with the label as a second input, as in the reference.

    With the defaults, its state dict has the reference's keys and shapes. Convolutions have no bias, because a norm
    follows.

    Args:
        label_width: K, the length of a label.
        width: channels after the first convolution; doubled by each of the two stride-2 convolutions.
        blocks: residual blocks at a quarter of the resolution.
        norm: norm after the convolutions.
        norm_options: options of the norm; None: its defaults.
        affine: learn scale and shift in the norms; None: the conditioning's default.
        conditioning: how the generator receives the label.
        output: last activation, which maps to [-1, 1].
        padding: padding of the convolutions.
        inplace: activations overwrite their input.
    """

    size_multiple = 4
    """Height and width must be multiples of this."""

    def __init__(
        self,
        label_width: int,
        *,
        width: Width = 64,
        blocks: Annotated[int, Field(ge=0, le=64)] = 6,
        norm: Annotated[str, Ref("norm")] = "instance",
        norm_options: dict[str, Any] | None = None,
        affine: bool | None = None,
        conditioning: Annotated[str, Ref("conditioning")] = "concat",
        output: Annotated[str, Ref("output")] = "tanh",
        padding: Annotated[str, Ref("padding")] = "zero",
        inplace: bool = True,
    ) -> None:
        super().__init__()
        factory = LayerFactory(label_width, norm, norm_options, affine, conditioning, output, padding, inplace)
        self.condition, self.label_width = factory.condition, label_width
        self.main = LabeledSequential()

        def add(role: str, convolution: nn.Module, channels: int) -> None:
            self.main.extend([convolution, factory.norm(role, channels), factory.relu()])

        add("first", factory.conv("first", factory.condition.input_channels, width, 7, 1, 3), width)
        channels = width
        for index in range(2):
            role = f"down.{index}"
            add(role, factory.conv(role, channels, 2 * channels, 4, 2, 1), 2 * channels)
            channels *= 2
        self.main.extend(ResidualBlock(factory, channels, f"block.{index}") for index in range(blocks))
        for index in range(2):
            role = f"up.{index}"
            add(role, factory.up(role, channels, channels // 2), channels // 2)
            channels //= 2
        self.main.extend([factory.conv("last", width, 3, 7, 1, 3), factory.output()])

    canonical = staticmethod(canonical_options)

    @staticmethod
    def refusal(image_size: int, options: Mapping[str, Any]) -> str | None:
        return norm_refusal("norm", options, options["width"])

    @staticmethod
    def smallest_map(image_size: int, options: Mapping[str, Any]) -> int:
        return image_size // ResNetGenerator.size_multiple

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.main(self.condition.inputs(images, labels), labels)


@GENERATORS.register("unet", source="Ronneberger et al. 2015 (arXiv:1505.04597); as in Isola et al. 2017")
class UNetGenerator(nn.Module):
    """U-Net with skip connections, as in pix2pix.

    The encoder has 4x4 stride-2 convolutions with LeakyReLU(0.2), the decoder transposed ones with ReLU; skip
    connections concatenate encoder and decoder maps of the same size. The first and the innermost convolution have a
    bias and no norm. Without blocks the innermost map may therefore be 1x1, and labels concatenated as planes have an
    effect under instance norm with any padding.

    Args:
        label_width: K, the length of a label.
        width: channels after the first convolution; doubled at most three times.
        depth: stride-2 convolutions; height and width must be multiples of 2^depth.
        blocks: residual blocks at the bottleneck; pix2pix has none.
        norm: norm after the convolutions, except the first and the innermost.
        norm_options: options of the norm; None: its defaults.
        affine: learn scale and shift in the norms; None: the conditioning's default.
        conditioning: how the generator receives the label.
        output: last activation, which maps to [-1, 1].
        padding: padding of the encoder's convolutions and the blocks.
        inplace: activations overwrite their input.
    """

    def __init__(
        self,
        label_width: int,
        *,
        width: Width = 64,
        depth: Annotated[int, Field(ge=2, le=8)] = 4,
        blocks: Annotated[int, Field(ge=0, le=64)] = 0,
        norm: Annotated[str, Ref("norm")] = "instance",
        norm_options: dict[str, Any] | None = None,
        affine: bool | None = None,
        conditioning: Annotated[str, Ref("conditioning")] = "concat",
        output: Annotated[str, Ref("output")] = "tanh",
        padding: Annotated[str, Ref("padding")] = "zero",
        inplace: bool = True,
    ) -> None:
        super().__init__()
        factory = LayerFactory(label_width, norm, norm_options, affine, conditioning, output, padding, inplace)
        self.condition, self.label_width = factory.condition, label_width
        self.size_multiple = 2**depth
        widths = [width * 2 ** min(level, 3) for level in range(depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels = factory.condition.input_channels
        for level, out_channels in enumerate(widths):
            role, without_norm = f"down.{level}", level in (0, depth - 1)
            layers = [factory.conv(role, channels, out_channels, 4, 2, 1, bias=without_norm)]
            layers += [] if without_norm else [factory.norm(role, out_channels)]
            self.down.append(LabeledSequential(*layers, factory.leaky()))
            channels = out_channels
        self.bottleneck = LabeledSequential(*(ResidualBlock(factory, channels, f"block.{i}") for i in range(blocks)))
        for level in reversed(range(1, depth)):  # output has the size of encoder level - 1
            role, out_channels = f"up.{level}", widths[level - 1]
            layers = [factory.up(role, channels, out_channels), factory.norm(role, out_channels), factory.relu()]
            self.up.append(LabeledSequential(*layers))
            channels = 2 * out_channels
        self.last = nn.Sequential(factory.up("last", channels, 3), factory.output())

    canonical = staticmethod(canonical_options)

    @staticmethod
    def refusal(image_size: int, options: Mapping[str, Any]) -> str | None:
        depth = options["depth"]
        if image_size % 2**depth == 0:
            return norm_refusal("norm", options, options["width"])
        largest = (image_size & -image_size).bit_length() - 1
        return (
            f"depth: {depth} needs an image size that is a multiple of {2**depth} px, but data.image_size is"
            f" {image_size}; allowed: 2 to {largest}"
        )

    @staticmethod
    def smallest_map(image_size: int, options: Mapping[str, Any]) -> int:
        return image_size // 2 ** (options["depth"] if options["blocks"] else options["depth"] - 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.condition.inputs(images, labels)
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x, labels)
            skips.append(x)
        x = self.bottleneck(skips.pop(), labels)
        for up in self.up:
            x = cat([up(x, labels), skips.pop()], dim=1)
        return self.last(x)
