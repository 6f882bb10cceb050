"""How much a generator's output depends on the label, by pixel and by distance to the border.

A constant label plane shifts the output of a convolution by a constant, which instance norm removes, except where the
kernel reaches into the zero padding. So with concatenated labels and instance norm the label enters at the border.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Sensitivity:
    """Label sensitivity of one generator, in float64.

    Attributes:
        map: (S, S), mean absolute change of a pixel, in units of [-1, 1], when one label is flipped.
        by_distance: mean of the map over the pixels with distance 0, 1, … to the nearest border.
    """

    map: Tensor
    by_distance: list[float]


@torch.no_grad()
def label_sensitivity(
    generator: nn.Module, images: Tensor, labels: Tensor, full_label: Callable[[Tensor], Tensor]
) -> Sensitivity:
    """Flip each label of each image and average the change of the output; the network is not changed.

    Args:
        images: (N, 3, S, S) in [-1, 1].
        labels: (N, A) of 0 and 1.
        full_label: (N, A) to the generator's label.
    """
    generator, images = deepcopy(generator).double(), images.double()
    before = generator(images, full_label(labels.double()))
    total = torch.zeros(images.shape[-2:], dtype=torch.float64)
    for label in range(labels.shape[1]):
        flipped = labels.double().clone()
        flipped[:, label] = 1 - flipped[:, label]
        total += (generator(images, full_label(flipped)) - before).abs().mean((0, 1))
    sensitivity = total / labels.shape[1]
    return Sensitivity(sensitivity, mean_by_distance(sensitivity))


def mean_by_distance(values: Tensor) -> list[float]:
    """Mean of (S, S) values over the pixels with distance 0, 1, … px to the nearest border."""
    position = torch.arange(values.shape[0])
    along = torch.minimum(position, position.flip(0))
    distance = torch.minimum(along[:, None], along[None, :])
    return [float(values[distance == d].mean()) for d in range(int(distance.max()) + 1)]
