"""Which labels the images of a batch are translated to in training. Shapes: N images, A labels of their dataset.

Trait: ``uses_groups`` marks a policy that depends on which labels exclude each other.
"""

from typing import Protocol

import torch
from torch import Tensor

from stargan_lab.labels import LabelSpec, target_labels
from stargan_lab.registry import family

TARGETS = family("targets")


class TargetPolicy(Protocol):
    def __call__(self, labels: Tensor, spec: LabelSpec, permutation: Tensor, choice: Tensor) -> Tensor:
        """Own labels (N, A) to targets (N, A).

        Args:
            permutation: (N,) int64, an order of the batch.
            choice: (N,) in [0, 1).
        """
        ...


@TARGETS.register("permuted", source="Choi et al. 2018, as in yunjey/stargan: the batch's own labels in another order")
def permuted(labels: Tensor, spec: LabelSpec, permutation: Tensor, choice: Tensor) -> Tensor:
    """The batch's own labels in another order: as frequent as in the data, and often an image's own."""
    return labels[permutation]


@TARGETS.register("different", traits=["uses_groups"])
def different(labels: Tensor, spec: LabelSpec, permutation: Tensor, choice: Tensor) -> Tensor:
    """One label changed, any that would, all equally likely: what is asked of the generator in testing."""
    each = torch.stack([target_labels(labels, spec, index) for index in range(len(spec.names))], dim=1)  # (N, A, A)
    changes = (each != labels[:, None]).any(2)
    number = (choice * changes.sum(1)).long()  # of those that change something
    place = ((changes.cumsum(1) - 1 == number[:, None]) & changes).int().argmax(1)
    return each[torch.arange(len(labels), device=labels.device), place]
