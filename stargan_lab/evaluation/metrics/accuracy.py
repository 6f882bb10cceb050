"""How often the attribute classifier recognizes the target domain."""

import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.registry import family

image_metric = family("image_metric")


@image_metric.register(
    "accuracy",
    source="Choi et al. 2018, section 5.5",
    traits=("cross",),
    direction="higher",
    decimals=3,
    uses=("attribute_classifier",),
)
def accuracy(batch: ImageBatch) -> Tensor:
    """Share of outputs classified as the target.

    Images whose source label equals the target are left out (NaN).
    """
    target = batch.target_labels[:, batch.domain]
    correct = (batch.predicted[:, batch.domain] == target).double()
    return correct.masked_fill(batch.source_labels[:, batch.domain] == target, torch.nan)


@image_metric.register(
    "accuracy_ceiling", source="this project", decimals=3, main=False, uses=("attribute_classifier",)
)
def accuracy_ceiling(batch: ImageBatch) -> float:
    """Share of real test images classified correctly, the ceiling of accuracy."""
    return batch.attribute_classifier.accuracy[batch.domain_name]
