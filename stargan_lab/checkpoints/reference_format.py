"""The checkpoint format of the reference implementation (yunjey/stargan): keys, shapes, and the sizes they imply.

Letters: C width, K label width, R residual blocks, L stride-2 convolutions, S image size, k side of the last map.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import nn

from stargan_lab.checkpoints.weight_files import COUNTER, Role, State
from stargan_lab.models import discriminators, generators  # noqa: F401  registers the networks
from stargan_lab.registry import family

Shapes = Mapping[str, tuple[int, ...]]


class _Sizes:
    """Sizes of a network of the reference; subclasses build it."""

    build: Callable[[], nn.Module]

    def form(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes of its state dict, in the reference's order."""
        with torch.device("meta"):  # no memory, no random numbers
            return shapes_of(self.build().state_dict())


@dataclass(frozen=True)
class GeneratorSizes(_Sizes):
    """Sizes of the reference's ``Generator(C, K, R)``."""

    width: int
    blocks: int
    label_width: int

    role = "generator"

    def keys(self) -> dict[str, int]:
        """As configuration keys."""
        return {"generator.width": self.width, "generator.blocks": self.blocks}

    def build(self) -> nn.Module:
        """The reference's generator of this size, with torch's default initialization."""
        network: nn.Module = family("generator").build("resnet", self.label_width, width=self.width, blocks=self.blocks)
        return network


@dataclass(frozen=True)
class CriticSizes(_Sizes):
    """Sizes of the reference's ``Discriminator(S, C, K, L)``; the side of its last map is k = floor(S / 2^L)."""

    width: int
    depth: int
    label_width: int
    side: int

    role = "discriminator"

    @property
    def image_size(self) -> int:
        """The smallest possible S, and the only one that is a multiple of 2^L."""
        return self.side * 2**self.depth

    def keys(self) -> dict[str, int]:
        return {
            "discriminator.width": self.width,
            "discriminator.depth": self.depth,
            "data.image_size": self.image_size,
        }

    def build(self) -> nn.Module:
        """The reference's discriminator of this size, with torch's default initialization."""
        options = {"width": self.width, "depth": self.depth}
        network: nn.Module = family("discriminator").build("patchgan", self.label_width, self.image_size, **options)
        return network


Sizes = GeneratorSizes | CriticSizes


def sizes_of(state: State | Shapes) -> Sizes | None:
    """The sizes of the reference network that a state dict is closest to; None if it is close to neither.

    The first convolution identifies it: 7x7 in the generator, 4x4 on three channels in the discriminator.
    """
    shapes = shapes_of(state)
    first = shapes.get("main.0.weight", ())
    if len(first) != 4:
        return None
    if first[2:] == (7, 7) and first[1] >= 3:
        blocks = next(n for n in count() if f"main.{9 + n}.main.0.weight" not in shapes)
        return GeneratorSizes(first[0], blocks, first[1] - 3)
    head = shapes.get("conv2.weight", ())
    if first[1:] == (3, 4, 4) and len(head) == 4:
        depth = next(n for n in count() if f"main.{2 * n}.weight" not in shapes)
        return CriticSizes(first[0], depth, head[0], head[2])
    return None


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(getattr(value, "shape", value)) for key, value in state.items()}


def difference(state: State | Shapes, form: Shapes) -> str | None:
    """How a state dict differs from a form, as the end of a sentence; None if it matches.

    Missing batch counters do not count: files written before torch 0.4 have none.
    """
    shapes = shapes_of(state)
    missing = [key for key in form if key not in shapes and not key.endswith(COUNTER)]
    extra = [key for key in shapes if key not in form]
    wrong = [key for key in form if key in shapes and shapes[key] != form[key]]
    if extra:
        return f"has unexpected {_first(extra)}"
    if missing:
        return f"is missing {_first(missing)}"
    if wrong:
        return f"has {wrong[0]} of shape {_times(shapes[wrong[0]])}, expected {_times(form[wrong[0]])}"
    return None


def _first(keys: list[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} (and {len(keys) - 1} more)"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"


def in_reference_form(state: State | Shapes, role: Role) -> bool:
    """Whether keys and shapes are those of the reference's network of this role."""
    sizes = sizes_of(state)
    return sizes is not None and sizes.role == role and difference(state, sizes.form()) is None
