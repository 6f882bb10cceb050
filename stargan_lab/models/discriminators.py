"""Discriminators: (N, 3, S, S) images in [-1, 1] to patch scores (N, 1, P, P) and label logits (N, K).

A discriminator may have the static methods ``refusal`` and ``smallest_map`` that generators may have.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from stargan_lab.models.initialise import named
from stargan_lab.registry import family

DISCRIMINATORS = family("discriminator")
HEADS = family("head")


@HEADS.register("patch", source="Isola et al. 2017 (arXiv:1611.07004)")
def patch(channels: int, size: int, bias: bool) -> nn.Module:
    """One score per place of the last map: each sees a patch as large as the receptive field."""
    return nn.Conv2d(channels, 1, 3, 1, 1, bias=bias)


@HEADS.register("global")
def whole(channels: int, size: int, bias: bool) -> nn.Module:
    """One score per image, from a convolution as large as the last map."""
    return nn.Conv2d(channels, 1, size, bias=bias)


def receptive_field(depth: int) -> int:
    """Pixels a side that one patch score sees: ``depth`` 4x4 stride-2 convolutions, then a 3x3 one.

    Equals 5·2^depth − 2.
    """
    field, stride = 1, 1
    for kernel, step in [(4, 2)] * depth + [(3, 1)]:
        field += (kernel - 1) * stride
        stride *= step
    return field


@DISCRIMINATORS.register("patchgan", source="Choi et al. 2018 (arXiv:1711.09020), table 5; Isola et al. 2017")
class PatchDiscriminator(nn.Module):
    """PatchGAN critic with a second head that classifies the label; the reference's.

    ``depth`` stride-2 convolutions, each with a norm (not after the first), and LeakyReLU(0.01); the width doubles.
    Without a norm its state dict has the reference's keys and shapes; a norm adds keys and moves none.

    Args:
        label_width: K, number of logits.
        image_size: S, pixels a side; the class head's kernel is S / 2^depth.
        width: channels after the first convolution.
        depth: stride-2 convolutions; receptive field 5·2^depth − 2 pixels.
        norm: a name of the ``critic_norm`` family.
        norm_affine: scale and shift in the norms.
        bias: of the convolutions; all, none, or a list of the layers (0-based) that have one.
        head: a name of the ``head`` family, for the real/fake scores.
        head_bias: of both heads.
    Raises:
        ValueError: the image is smaller than 2^depth, or ``bias`` names a layer that does not exist.
    """

    def __init__(
        self,
        label_width: int,
        image_size: int,
        *,
        width: Annotated[int, Field(ge=1, le=1024)] = 64,
        depth: Annotated[int, Field(ge=1, le=6)] = 6,
        norm: str = "none",
        norm_affine: bool = True,
        bias: bool | tuple[Annotated[int, Field(ge=0)], ...] = True,
        head: str = "patch",
        head_bias: bool = False,
    ) -> None:
        super().__init__()
        size = image_size // 2**depth
        if size < 1:
            raise ValueError(f"depth {depth} needs images of at least {2**depth} px, got {image_size}")
        layers = range(depth)
        biased = set(layers if bias is True else () if bias is False else bias)
        if biased - set(layers):
            raise ValueError(f"bias names layer {max(biased)}, but depth {depth} has layers 0 to {depth - 1}")
        self.main = nn.Sequential()
        channels, after = 3, width
        for index in layers:
            conv = nn.Conv2d(channels, after, 4, 2, 1, bias=index in biased)
            self.main.add_module(str(2 * index), named(conv, f"conv.{index}"))
            if index:
                self.main.add_module(f"norm{index}", family("critic_norm").build(norm, after, norm_affine))
            self.main.add_module(str(2 * index + 1), nn.LeakyReLU(0.01))
            channels, after = after, 2 * after
        self.conv1 = HEADS.build(head, channels, size, head_bias)
        self.conv2 = nn.Conv2d(channels, label_width, size, bias=head_bias)
        of_weights = getattr(family("critic_norm").get(norm), "of_weights", None)
        if of_weights is not None:  # the label logits are free: no bound on the score asks for one on them
            self.main, self.conv1 = of_weights(self.main), of_weights(self.conv1)

    @staticmethod
    def refusal(image_size: int, options: Mapping[str, Any]) -> str | None:
        depth, bias = options["depth"], options["bias"]
        if image_size < 2**depth:
            return (
                f"depth: {depth} halvings need images of at least {2**depth} px, but data.image_size is {image_size};"
                f" allowed: 1 to {image_size.bit_length() - 1}"
            )
        if isinstance(bias, tuple) and any(layer >= depth for layer in bias):
            return (
                f"bias: layer {max(bias)} does not exist at discriminator.depth={depth};"
                f" allowed: true, false or a list of 0 to {depth - 1}"
            )
        return None

    @staticmethod
    def smallest_map(image_size: int, options: Mapping[str, Any]) -> int | None:
        """Side of the last map; None where no layer is followed by a norm."""
        return image_size // 2 ** options["depth"] if options["depth"] > 1 else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores (N, 1, P, P) and logits (N, K)."""
        features = self.main(images)
        return self.conv1(features), self.conv2(features).flatten(1)
