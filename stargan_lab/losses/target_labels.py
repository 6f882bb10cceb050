"""Target labels of a training batch. Shapes: N images, A labels of their dataset.

Trait: ``uses_groups`` marks a policy that depends on which labels are mutually exclusive.
"""

from typing import Protocol

import torch
from torch import Tensor

from stargan_lab.labels import LabelSpec, target_labels
from stargan_lab.registry import family

TARGETS = family("targets")


class TargetPolicy(Protocol):
    def __call__(self, labels: Tensor, spec: LabelSpec, permutation: Tensor, choice: Tensor) -> Tensor:
        """Source labels (N, A) to targets (N, A).

        Args:
            permutation: (N,) int64, an order of the batch.
            choice: (N,) in [0, 1).
        """
        ...


@TARGETS.register("permuted", source="Choi et al. 2018, as in yunjey/stargan")
def permuted(labels: Tensor, spec: LabelSpec, permutation: Tensor, choice: Tensor) -> Tensor:
    """The batch's labels in random order: frequencies match the data, but targets often equal the source labels."""
    return labels[permutation]


@TARGETS.register("different", traits=["uses_groups"])
def different(labels: Tensor, spec: LabelSpec, permutation: Tensor, choice: Tensor) -> Tensor:
    """Changes one label of each image, chosen uniformly among those that can change, in the same way as evaluation."""
    candidates = torch.stack(
        [target_labels(labels, spec, index) for index in range(len(spec.names))], dim=1
    )  # (N, A, A)
    changes = (candidates != labels[:, None]).any(2)
    number = (choice * changes.sum(1)).long()  # among the candidates that change a label
    index = ((changes.cumsum(1) - 1 == number[:, None]) & changes).int().argmax(1)
    return candidates[torch.arange(len(labels), device=labels.device), index]
