"""Discriminators: (N, 3, S, S) images in [-1, 1] to patch scores (N, 1, P, P) and label logits (N, K).

A discriminator may have the same static methods as a generator: ``refusal``, ``smallest_map``, ``canonical``.

Trait: ``couples_samples`` marks a discriminator whose output for an image depends on the other images of the batch.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from stargan_lab.models.initialize import named
from stargan_lab.models.norms import norm_refusal
from stargan_lab.models.twice import Conv2d, LeakyReLU
from stargan_lab.registry import Ref, family

DISCRIMINATORS = family("discriminator")
HEADS = family("head")


@HEADS.register("patch", source="Isola et al. 2017 (arXiv:1611.07004)")
def patch(channels: int, size: int, bias: bool) -> nn.Module:
    """One score per position of the last map, each for a patch as large as the receptive field."""
    return Conv2d(channels, 1, 3, 1, 1, bias=bias)


@HEADS.register("global")
def whole_image(channels: int, size: int, bias: bool) -> nn.Module:
    """One score per image, from a convolution with the size of the last map."""
    return Conv2d(channels, 1, size, bias=bias)


def _biased_layers(bias: bool | Iterable[int], depth: int) -> set[int]:
    if isinstance(bias, bool):
        return set(range(depth)) if bias else set()
    return {layer + depth if layer < 0 else layer for layer in bias}


def _unknown_layers(bias: bool | Iterable[int], depth: int) -> list[int]:
    """The entries of ``bias`` that are no layer of a discriminator of this depth."""
    return [] if isinstance(bias, bool) else [layer for layer in bias if not -depth <= layer < depth]


@DISCRIMINATORS.register("patchgan", source="Choi et al. 2018 (arXiv:1711.09020), table 5; Isola et al. 2017")
class PatchDiscriminator(nn.Module):
    """PatchGAN discriminator with a second head that classifies the label, as in the reference.

    ``depth`` stride-2 convolutions with LeakyReLU(0.01), each followed by a norm except the first; the number of
    channels doubles. Without a norm, its state dict has the reference's keys and shapes; a norm only adds keys.

    Args:
        label_width: K, number of logits.
        image_size: S, height and width in pixels; the class head's kernel size is S / 2^depth.
        width: channels after the first convolution; doubled by each further convolution.
        depth: stride-2 convolutions; the receptive field of a patch score is 5·2^depth − 2 pixels.
        norm: norm after every stride-2 convolution except the first.
        norm_options: options of the norm; None: its defaults.
        norm_affine: learn scale and shift in the norms.
        bias: bias of the convolutions: true, false, or a list of the layers that have one; 0 is the first, -1 the last.
        head: maps features to real/fake scores.
        head_bias: bias of both heads.
    Raises:
        ValueError: the image is smaller than 2^depth, or ``bias`` contains a layer that does not exist.
    """

    def __init__(
        self,
        label_width: int,
        image_size: int,
        *,
        width: Annotated[int, Field(ge=1, le=1024)] = 64,
        depth: Annotated[int, Field(ge=1, le=6)] = 6,
        norm: Annotated[str, Ref("discriminator_norm")] = "none",
        norm_options: dict[str, Any] | None = None,
        norm_affine: bool = True,
        bias: bool | tuple[Annotated[int, Field(ge=-6)], ...] = True,
        head: Annotated[str, Ref("head")] = "patch",
        head_bias: bool = False,
    ) -> None:
        super().__init__()
        size = image_size // 2**depth
        if size < 1:
            raise ValueError(f"depth {depth} needs images of at least {2**depth} px, got {image_size}")
        if unknown := _unknown_layers(bias, depth):
            raise ValueError(f"bias contains layer {max(unknown)}, but depth {depth} has layers 0 to {depth - 1}")
        biased = _biased_layers(bias, depth)
        self.main = nn.Sequential()
        channels, out_channels = 3, width
        for index in range(depth):
            conv = Conv2d(channels, out_channels, 4, 2, 1, bias=index in biased)
            self.main.add_module(str(2 * index), named(conv, f"conv.{index}"))
            if index:
                layer = family("discriminator_norm").build(norm, out_channels, norm_affine, **(norm_options or {}))
                self.main.add_module(f"norm{index}", layer)
            self.main.add_module(str(2 * index + 1), LeakyReLU(0.01))
            channels, out_channels = out_channels, 2 * out_channels
        self.conv1 = HEADS.build(head, channels, size, head_bias)
        self.conv2 = nn.Conv2d(channels, label_width, size, bias=head_bias)
        of_weights = getattr(family("discriminator_norm").get(norm), "of_weights", None)
        if of_weights is not None:  # not for the label logits: only the score has to be bounded
            self.main, self.conv1 = of_weights(self.main), of_weights(self.conv1)

    @staticmethod
    def refusal(image_size: int, options: Mapping[str, Any]) -> str | None:
        depth = options["depth"]
        if image_size < 2**depth:
            return (
                f"depth: {depth} needs images of at least {2**depth} px, but data.image_size is {image_size};"
                f" allowed: 1 to {image_size.bit_length() - 1}"
            )
        if unknown := _unknown_layers(options["bias"], depth):
            return (
                f"bias: layer {max(unknown)} does not exist with discriminator.depth={depth};"
                f" allowed: true, false or a list of {-depth} to {depth - 1}"
            )
        return norm_refusal("discriminator_norm", options, 2 * options["width"]) if depth > 1 else None

    @staticmethod
    def canonical(image_size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """``bias`` as sorted layers, and None for the options of a norm that no layer has."""
        depth, norm, norms = options["depth"], options["norm"], family("discriminator_norm")
        canonical = {**options, "bias": sorted(_biased_layers(options["bias"], depth))}
        if norms.has(norm, "of_weights") or norms.has(norm, "absent"):
            canonical |= {"norm_affine": None}
        if depth == 1 and not norms.has(norm, "of_weights"):
            canonical |= {"norm": None, "norm_options": None, "norm_affine": None}
        return canonical

    @staticmethod
    def smallest_map(image_size: int, options: Mapping[str, Any]) -> int | None:
        """Height of the last map; None if no layer has a norm."""
        return image_size // 2 ** options["depth"] if options["depth"] > 1 else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores (N, 1, P, P) and logits (N, K)."""
        features = self.main(images)
        return self.conv1(features), self.conv2(features).flatten(1)
