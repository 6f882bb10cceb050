"""A labeled batch, and the layout of the labels of several datasets in one vector.

Shapes: N batch, A labels of one dataset, S datasets, H W pixels. Networks take images in [-1, 1]; datasets store uint8.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

LabelKind = Literal["binary", "categorical"]


@dataclass(frozen=True)
class Batch:
    """Images of one dataset with their labels.

    Attributes:
        images: (N, 3, H, W) in [-1, 1]; in distributed training, only the rows of this process.
        labels: (N, A) of 0 and 1, always of the whole batch; one-hot for a categorical dataset.
        source: index of the dataset in the layout's ``specs``.
        rows: which rows of ``labels`` belong to ``images``.
    """

    images: Tensor
    labels: Tensor
    source: int
    rows: slice = field(default_factory=lambda: slice(None))

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Batch":
        images = self.images.to(device, dtype, non_blocking=True)
        return Batch(images, self.labels.to(device, dtype, non_blocking=True), self.source, self.rows)


@dataclass(frozen=True)
class LabelSpec:
    """The labels of one dataset.

    Attributes:
        names: label names, in order.
        kind: ``binary``: each label is 0 or 1; ``categorical``: exactly one label is 1.
        groups: mutually exclusive binary labels, e.g. hair colors; setting one as the target clears the others.
    """

    dataset: str
    names: tuple[str, ...]
    kind: LabelKind = "binary"
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class LabelLayout:
    """Positions of each dataset's labels in the generator's input and in the discriminator's logits.

    The generator's label is [labels of dataset 1 | … | labels of dataset S | one-hot mask of S], where labels of
    datasets other than the batch's are zero; the logits are the same without the mask. With one dataset, there is no
    mask (Choi et al. 2018, section 3.2).
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
        """(N, A) labels of dataset ``source`` as the generator's label, (N, generator_width)."""
        if len(self.specs) == 1:
            return labels
        full = labels.new_zeros(len(labels), self.generator_width)
        full[:, self.span(source)] = labels
        full[:, self.critic_width + source] = 1
        return full

    def source_logits(self, logits: Tensor, source: int) -> Tensor:
        """The (N, A) columns of dataset ``source`` in the discriminator's (N, critic_width) logits."""
        return logits[:, self.span(source)]


def target_labels(labels: Tensor, spec: LabelSpec, index: int) -> Tensor:
    """The labels to request when translating images to ``spec.names[index]``, as in the reference.

    Categorical: one-hot. Binary in a group of exclusive labels: set it and clear the others. Any other binary: flip it.

    Args:
        labels: (N, A) of 0 and 1, the source labels.
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
