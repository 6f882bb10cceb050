"""Two-dimensional toy distributions; a builder draws ``count`` points as (count, 2), with its own random numbers.

Formulas and scales are those of WGAN-GP's toy experiments (Gulrajani et al. 2017, section 3.1): all points
lie within about 2 of the origin, so that noise of unit variance is about half the width of a distribution.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from stargan_lab.registry import family

DISTRIBUTIONS = family("distribution")

Noise = Annotated[float, Field(ge=0, le=10)]


def sample(name: str, count: int, random: torch.Generator, **options: float) -> Tensor:
    """(count, 2, 1, 1) points of a registered distribution, as images of two channels and one pixel."""
    points: Tensor = DISTRIBUTIONS.build(name, count, random, **options)
    return points[:, :, None, None]


@DISTRIBUTIONS.register("swiss_roll", source="Gulrajani et al. 2017 (arXiv:1704.00028), figure 1")
def swiss_roll(count: int, random: torch.Generator, *, noise: Noise = 0.25) -> Tensor:
    """A spiral of one and a half turns, radius 0.6 to 1.9.

    Args:
        noise: standard deviation of the points around the spiral, before it is scaled by 1 / 7.5.
    """
    angle = 1.5 * math.pi * (1 + 2 * torch.rand(count, generator=random))
    spiral = torch.stack([angle * angle.cos(), angle * angle.sin()], 1)
    return (spiral + noise * torch.randn(count, 2, generator=random)) / 7.5


@DISTRIBUTIONS.register("eight_gaussians", source="Gulrajani et al. 2017 (arXiv:1704.00028), figure 1")
def eight_gaussians(count: int, random: torch.Generator, *, noise: Noise = 0.02) -> Tensor:
    """Eight narrow Gaussians on a circle of radius 1.41.

    Args:
        noise: standard deviation of each Gaussian, before the circle of radius 2 is scaled by 1 / √2.
    """
    angle = torch.randint(8, (count,), generator=random) * (math.pi / 4)
    centers = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    return (centers + noise * torch.randn(count, 2, generator=random)) / math.sqrt(2)


@DISTRIBUTIONS.register("twentyfive_gaussians", source="Gulrajani et al. 2017 (arXiv:1704.00028), figure 1")
def twentyfive_gaussians(count: int, random: torch.Generator, *, noise: Noise = 0.05) -> Tensor:
    """Narrow Gaussians on a grid of five by five, 0.71 apart.

    Args:
        noise: standard deviation of each Gaussian, before the grid of spacing 2 is scaled by 1 / 2.83.
    """
    centers = 2.0 * torch.randint(-2, 3, (count, 2), generator=random)
    return (centers + noise * torch.randn(count, 2, generator=random)) / (2 * math.sqrt(2))
