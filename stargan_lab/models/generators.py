"""Generators: (N, 3, H, W) images in [-1, 1] and (N, K) labels to (N, 3, H, W) images in [-1, 1].

Traits: ``normed_input`` marks a generator whose first convolution is followed by a norm. A generator may
have static methods by which a configuration is judged before anything is built: ``refusal(image_size, options)`` says
why it cannot be, or None; ``smallest_map(image_size, options)`` is the least side in px that a norm or padding sees.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, cat, nn

from stargan_lab.models.blocks import LayerFactory, ResidualBlock
from stargan_lab.models.conditioning import LabelledSequential
from stargan_lab.registry import family

GENERATORS = family("generator")

Width = Annotated[int, Field(ge=1, le=1024)]


@GENERATORS.register(
    "resnet", source="Choi et al. 2018 (arXiv:1711.09020), table 4; Zhu et al. 2017", traits=["normed_input"]
)
class ResNetGenerator(nn.Module):
    """CycleGAN's residual generator with the label as an input; the reference's.

    Under the defaults its state dict has the reference's keys and shapes. Convolutions have no bias: a norm follows.

    Args:
        label_width: K, the length of a label.
        width: channels after the first convolution; doubled by each of the two stride-2 convolutions.
        blocks: residual blocks at the lowest resolution.
        norm: a name of the ``norm`` family.
        affine: scale and shift in the norms; None: as the conditioning needs.
        conditioning: how the label comes in, a name of the ``conditioning`` family.
        output: the last activation, a name of the ``output`` family.
        padding: of the convolutions, a name of the ``padding`` family.
        inplace: ReLU overwrites its input.
    """

    size_multiple = 4
    """Height and width must be a multiple of this."""

    def __init__(
        self,
        label_width: int,
        *,
        width: Width = 64,
        blocks: Annotated[int, Field(ge=0, le=64)] = 6,
        norm: str = "instance",
        affine: bool | None = None,
        conditioning: str = "concat",
        output: str = "tanh",
        padding: str = "zero",
        inplace: bool = True,
    ) -> None:
        super().__init__()
        factory = LayerFactory(
            label_width,
            norm=norm,
            affine=affine,
            conditioning=conditioning,
            output=output,
            padding=padding,
            inplace=inplace,
        )
        self.condition, self.label_width = factory.condition, label_width
        self.main = LabelledSequential()

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

    @staticmethod
    def smallest_map(image_size: int, options: Mapping[str, Any]) -> int:
        return image_size // ResNetGenerator.size_multiple

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.main(self.condition.inputs(images, labels), labels)


@GENERATORS.register("unet", source="Ronneberger et al. 2015 (arXiv:1505.04597); as in Isola et al. 2017")
class UNetGenerator(nn.Module):
    """Halvings down to a bottleneck and back, each level's detail handed across; what CycleGAN began with.

    4x4 stride-2 convolutions with LeakyReLU(0.2) down, transposed ones with ReLU up, each up level joined by the down
    level of its size. The first and the innermost convolution have a bias and no norm, as in pix2pix: so without blocks
    the innermost map may be 1x1, and a label given as planes gets past instance norm whatever the padding.

    Args:
        label_width: K, the length of a label.
        width: channels after the first convolution; doubled three times at most.
        depth: halvings; height and width must be multiples of 2^depth.
        blocks: residual blocks at the bottleneck; pix2pix has none.
        norm: a name of the ``norm`` family.
        affine: scale and shift in the norms; None: as the conditioning needs.
        conditioning: how the label comes in, a name of the ``conditioning`` family.
        output: the last activation, a name of the ``output`` family.
        padding: of the convolutions down, a name of the ``padding`` family.
        inplace: activations overwrite their input.
    """

    def __init__(
        self,
        label_width: int,
        *,
        width: Width = 64,
        depth: Annotated[int, Field(ge=2, le=8)] = 4,
        blocks: Annotated[int, Field(ge=0, le=64)] = 0,
        norm: str = "instance",
        affine: bool | None = None,
        conditioning: str = "concat",
        output: str = "tanh",
        padding: str = "zero",
        inplace: bool = True,
    ) -> None:
        super().__init__()
        factory = LayerFactory(
            label_width,
            norm=norm,
            affine=affine,
            conditioning=conditioning,
            output=output,
            padding=padding,
            inplace=inplace,
        )
        self.condition, self.label_width = factory.condition, label_width
        self.size_multiple = 2**depth
        widths = [width * 2 ** min(level, 3) for level in range(depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels = factory.condition.input_channels
        for level, after in enumerate(widths):
            role, bare = f"down.{level}", level in (0, depth - 1)
            layers = [factory.conv(role, channels, after, 4, 2, 1, bias=bare)]
            layers += [] if bare else [factory.norm(role, after)]
            self.down.append(LabelledSequential(*layers, factory.leaky()))
            channels = after
        self.bottleneck = LabelledSequential(*(ResidualBlock(factory, channels, f"block.{i}") for i in range(blocks)))
        for level in reversed(range(1, depth)):  # to the size of down level - 1
            role, after = f"up.{level}", widths[level - 1]
            self.up.append(
                LabelledSequential(factory.up(role, channels, after), factory.norm(role, after), factory.relu())
            )
            channels = 2 * after
        self.last = nn.Sequential(factory.up("last", channels, 3), factory.output())

    @staticmethod
    def refusal(image_size: int, options: Mapping[str, Any]) -> str | None:
        if image_size % 2 ** options["depth"] == 0:
            return None
        most = (image_size & -image_size).bit_length() - 1
        return (
            f"depth: {options['depth']} halvings need images of a multiple of {2 ** options['depth']} px, but"
            f" data.image_size is {image_size}; allowed: 2 to {most}"
        )

    @staticmethod
    def smallest_map(image_size: int, options: Mapping[str, Any]) -> int:
        return image_size // 2 ** (options["depth"] if options["blocks"] else options["depth"] - 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.condition.inputs(images, labels)
        levels: list[Tensor] = []
        for down in self.down:
            x = down(x, labels)
            levels.append(x)
        x = self.bottleneck(levels.pop(), labels)
        for up in self.up:
            x = cat([up(x, labels), levels.pop()], dim=1)
        return self.last(x)
