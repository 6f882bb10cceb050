"""A labelled batch, and how labels of one or several datasets are laid out side by side.

Shapes: N batch, A labels of one dataset, S datasets, H W pixels. Networks take images in [-1, 1]; datasets keep uint8.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

LabelKind = Literal["binary", "categorical"]


@dataclass(frozen=True)
class Batch:
    """Images of one dataset with their own labels.

    Attributes:
        images: (N, 3, H, W) in [-1, 1].
        labels: (N, A) of 0 and 1; for a categorical dataset one-hot.
        source: which dataset, an index into the layout's ``specs``.
    """

    images: Tensor
    labels: Tensor
    source: int

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Batch":
        images = self.images.to(device, dtype, non_blocking=True)
        return Batch(images, self.labels.to(device, dtype, non_blocking=True), self.source)


@dataclass(frozen=True)
class LabelSpec:
    """The labels of one dataset: their names in order, whether several can hold at once, and which exclude each other
    (``groups``: e.g. the hair colours, of which a target sets one and clears the rest)."""

    dataset: str
    names: tuple[str, ...]
    kind: LabelKind = "binary"
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class LabelLayout:
    """Where each dataset's labels stand in the generator's input and in the critic's logits.

    The generator gets [labels of dataset 1 | … | labels of dataset S | mask of S], a part that is not the batch's own
    being zero; the critic's logits are the same without the mask. With one dataset there is no mask (Choi et al. 2018,
    section 3.3).
    """

    specs: tuple[LabelSpec, ...]

    @property
    def critic_width(self) -> int:
        return sum(len(spec.names) for spec in self.specs)

    @property
    def generator_width(self) -> int:
        return self.critic_width + (len(self.specs) if len(self.specs) > 1 else 0)

    def span(self, source: int) -> slice:
        """The columns of dataset ``source``."""
        start = sum(len(spec.names) for spec in self.specs[:source])
        return slice(start, start + len(self.specs[source].names))

    def generator_label(self, labels: Tensor, source: int) -> Tensor:
        """(N, A) labels of one dataset as the (N, generator_width) label the generator takes."""
        if len(self.specs) == 1:
            return labels
        full = labels.new_zeros(len(labels), self.generator_width)
        full[:, self.span(source)] = labels
        full[:, self.critic_width + source] = 1
        return full

    def own_logits(self, logits: Tensor, source: int) -> Tensor:
        """The (N, A) part of the critic's (N, critic_width) logits that dataset ``source`` is scored on."""
        return logits[:, self.span(source)]


def target_labels(labels: Tensor, spec: LabelSpec, index: int) -> Tensor:
    """The label asked for when translating images to ``spec.names[index]`` (reference: sampling and test).

    Categorical: one-hot of the class. Binary, in a group of exclusive labels: set it, clear the others of the group.
    Any other binary label: flip it.

    Args:
        labels: (N, A) of 0 and 1, the images' own.
    Returns:
        (N, A), a new tensor.
    """
    if spec.kind == "categorical":
        target = torch.zeros_like(labels)
        target[:, index] = 1
        return target
    target = labels.clone()
    group = next((g for g in spec.groups if spec.names[index] in g), None)
    if group is None:
        target[:, index] = 1 - target[:, index]
        return target
    target[:, [i for i, name in enumerate(spec.names) if name in group]] = 0
    target[:, index] = 1
    return target
