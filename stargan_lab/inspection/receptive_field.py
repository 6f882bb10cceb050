"""The receptive field of a patch score: in theory, from the built network, and effective, from its gradient."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stargan_lab.runs.network_measures import graph_of, receptive_field, shapes_only

COVERED = 0.9545
"""An effective field is where the gradient is at least 1 - 95.45 % of its maximum, two standard deviations of a
Gaussian (Luo et al. 2016, arXiv:1701.04128, section 3)."""


@dataclass(frozen=True)
class Field:
    """The receptive field of one score of a (3, S, S) image.

    Attributes:
        theoretical: side in px of the region that the score's convolutions see; may exceed the image.
        effective: side in px of a square with as many pixels as have at least 4.55 % of the largest gradient.
        gradient: (S, S) in [0, 1], root mean square gradient of the score at each pixel, relative to its maximum.
        center: (row, column) in px of the middle of the score's region.
        scores: scores per side, P.
    """

    theoretical: int
    effective: float
    gradient: Tensor
    center: tuple[float, float]
    scores: int


def measure_field(critic: nn.Module, images: Tensor) -> Field:
    """The field of the score in the middle of the map; the network is not changed.

    Args:
        images: (N, 3, S, S); the gradient is averaged over them.
    """
    critic = deepcopy(critic)
    meta = torch.empty_like(images[:1], device="meta", requires_grad=True)
    theoretical = receptive_field(graph_of(shapes_only(critic)(meta)[0]), meta) or 0
    images = images.to(next(critic.parameters())).requires_grad_()
    scores = critic(images)[0].flatten(1, -3)[:, 0]  # (N, P, P)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[:, middle, middle].sum(), images)
    power = gradient.double().square().mean((0, 1)).sqrt()
    relative = power / power.max().clamp(min=1e-300)
    effective = float((relative >= 1 - COVERED).sum()) ** 0.5
    size, count = images.shape[-1], scores.shape[-1]
    center = (middle + 0.5) * size / count
    return Field(theoretical, effective, relative, (center, center), count)
