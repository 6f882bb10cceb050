"""The receptive field of a patch score: in theory, from the built network, and effective, from its gradient."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stargan_lab.runs.network_measures import graph_of, seen_region, shapes_only

COVERED = 0.95
"""Share of the squared gradient inside the effective field, a definition of this project. Luo et al. 2016
(arXiv:1701.04128) show that the gradient is close to a Gaussian around the center, and count the pixels where it
exceeds a small share of its value at the center instead."""


@dataclass(frozen=True)
class Field:
    """The receptive field of one score of a (3, S, S) image.

    Attributes:
        theoretical: side in px of the region that the score's convolutions see; may exceed the image.
        square: first and last edge, in px from the top and from the left, of the smallest square around the center
            that holds 95 % of the squared gradient, cut off at the image's border: the effective field.
        gradient: (S, S) in [0, 1], root mean square gradient of the score at each pixel, relative to its maximum.
        center: of the score's region, from the top and from the left, in px; kernels, strides and paddings are taken to
            be equal in both directions.
        scores: scores per side, P.
    """

    theoretical: int
    square: tuple[float, float]
    gradient: Tensor
    center: float
    scores: int

    @property
    def effective(self) -> float:
        """Side of the effective field in px."""
        return self.square[1] - self.square[0]


def measure_field(critic: nn.Module, images: Tensor) -> Field:
    """The field of the score in the middle of the map; the network is not changed.

    Args:
        images: (N, 3, S, S); the gradient is averaged over them.
    """
    critic = deepcopy(critic)
    images = images.to(next(critic.parameters())).requires_grad_()
    scores = critic(images)[0].flatten(1, -3)[:, 0]  # (N, P, P)
    middle = scores.shape[-1] // 2
    (gradient,) = torch.autograd.grad(scores[:, middle, middle].sum(), images)
    power = gradient.double().square().mean((0, 1))
    theoretical, center = _region(critic, images, middle)
    relative = (power / power.max().clamp(min=1e-300)).sqrt()
    return Field(theoretical, square_with(power, center, COVERED), relative, center, scores.shape[-1])


def _region(critic: nn.Module, images: Tensor, position: int) -> tuple[int, float]:
    """Side and center, in px, of the region that the score in row and column ``position`` sees."""
    meta = torch.empty_like(images[:1], device="meta", requires_grad=True)
    region = seen_region(graph_of(shapes_only(critic)(meta)[0]), meta, position)
    if region is None:
        return 0, images.shape[-1] / 2
    (top, bottom), (left, right) = region
    return max(bottom - top, right - left) + 1, (top + bottom + 1) / 2


def square_with(power: Tensor, center: float, share: float) -> tuple[float, float]:
    """Edges of the smallest square around (center, center) with ``share`` of the sum of (S, S) ``power``, within it."""
    size = power.shape[0]
    along = (torch.arange(size, device=power.device) + 0.5 - center).abs()
    distance, order = torch.maximum(along[:, None], along[None, :]).flatten().sort()
    inside = power.flatten()[order].cumsum(0)
    reached = int((inside < share * inside[-1]).sum())
    half = float(distance[min(reached, len(distance) - 1)]) + 0.5
    return max(center - half, 0), min(center + half, size)
