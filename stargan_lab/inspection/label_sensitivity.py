"""How much a generator depends on the label, by pixel and by distance to the border.

A constant label plane shifts the output of a convolution by a constant, which instance norm removes, except where the
kernel reaches into the zero padding. So with concatenated labels and instance norm the label enters at the border.
Later layers propagate it to the whole image: their convolutions, and the means and variances of their norms.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU)


@dataclass(frozen=True)
class Sensitivity:
    """Mean absolute change when one label is flipped, in float64.

    Attributes:
        first: (S, S), of the input of the first activation, which a norm scales to unit variance; None without one.
        output: (S, S), of the image, in units of [-1, 1].
    """

    first: Tensor | None
    output: Tensor


@torch.no_grad()
def label_sensitivity(
    generator: nn.Module, images: Tensor, labels: Tensor, full_label: Callable[[Tensor], Tensor]
) -> Sensitivity:
    """Flip each label of each image and average the changes; the network is not changed.

    Args:
        images: (N, 3, S, S) in [-1, 1].
        labels: (N, A) of 0 and 1.
        full_label: (N, A) to the generator's label.
    """
    generator, images = deepcopy(generator).double(), images.double()
    captured: list[Tensor] = []
    for module in generator.modules():
        if isinstance(module, ACTIVATIONS):
            module.register_forward_pre_hook(lambda _module, inputs: captured.append(inputs[0].clone()))

    def stages(values: Tensor) -> list[Tensor]:
        captured.clear()
        output = generator(images, full_label(values))
        return [*captured[:1], output]

    labels = labels.double()
    before = stages(labels)
    totals = [torch.zeros_like(stage[0, 0]) for stage in before]
    for label in range(labels.shape[1]):
        flipped = labels.clone()
        flipped[:, label] = 1 - flipped[:, label]
        for total, old, new in zip(totals, before, stages(flipped), strict=True):
            total += (new - old).abs().mean((0, 1)) / labels.shape[1]
    return Sensitivity(totals[0] if len(totals) > 1 else None, totals[-1])


def mean_by_distance(values: Tensor) -> list[float]:
    """Mean of (S, S) values over the pixels with distance 0, 1, … px to the nearest border."""
    position = torch.arange(values.shape[0])
    along = torch.minimum(position, position.flip(0))
    distance = torch.minimum(along[:, None], along[None, :])
    return [float(values[distance == d].mean()) for d in range(int(distance.max()) + 1)]
