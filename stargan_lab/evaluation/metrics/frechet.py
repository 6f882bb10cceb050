"""Fréchet distances: per domain, extrapolated to infinitely many images, and of all domains pooled."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from stargan_lab.evaluation.features import Sample
from stargan_lab.evaluation.frechet_distance import Moments, pooled_distance
from stargan_lab.evaluation.metrics.inputs import FeaturePair
from stargan_lab.registry import family

SEED = 2020
"""Seed of the subsets of the extrapolation in evaluations with seed 0; part of the metric's version."""

feature_metric = family("feature_metric")


@feature_metric.register(
    "frechet", source="Heusel et al. 2017", traits=("needs_many_images",), direction="lower", decimals=2
)
def frechet(pair: FeaturePair) -> float:
    """Fréchet distance."""
    return pair.once(_distance)


@feature_metric.register(
    "frechet_infinity",
    source="Chong and Forsyth 2020",
    traits=("needs_many_images", "random"),
    direction="lower",
    decimals=2,
    main=False,
)
def frechet_infinity(
    pair: FeaturePair,
    *,
    sizes: Annotated[int, Field(ge=2)] = 8,
    smallest_share: Annotated[float, Field(gt=0, lt=1)] = 0.25,
) -> float | None:
    """Fréchet distance, extrapolated to infinitely many images.

    Needs at least 2 images per side for each size.

    Args:
        sizes: number of subset sizes that the line is fitted to.
        smallest_share: size of the smallest subset, as a share of all images; the largest has all images.
    """
    if pair.smaller < 2 * sizes:
        return None
    return frechet_at_infinity(pair.translated, pair.real, pair.once(_distance), sizes, smallest_share, pair.seed)


@feature_metric.register(
    "frechet_pooled",
    source="this project",
    traits=("pooled", "needs_many_images"),
    direction="lower",
    decimals=2,
    main=False,
)
def frechet_pooled(pairs: Sequence[tuple[Moments, Moments]]) -> float:
    """Fréchet distance of all domains together, with equal weights."""
    return pooled_distance(pairs)


def _distance(translated: Sample, real: Sample) -> float:
    return translated.moments.distance(real.moments)


def frechet_at_infinity(
    translated: Sample, real: Sample, full: float, sizes: int = 8, smallest_share: float = 0.25, seed: int = 0
) -> float:
    """The Fréchet distance extrapolated to infinitely many images on both sides (Chong and Forsyth 2020).

    Its bias is close to proportional to 1/n. A line in 1/n is fitted to the distances of growing subsets of both sides,
    and its value at 0 is returned; it may be slightly negative. Unlike the paper, which fixes a large set of real
    images, both sides shrink by the same share, which removes both biases.

    Args:
        full: the distance of all images.
    """
    generator = np.random.default_rng(SEED + seed)
    order_a, order_b = generator.permutation(len(translated.rows)), generator.permutation(len(real.rows))
    shares = np.linspace(smallest_share, 1, sizes)
    values = []
    for share in shares[:-1]:
        a = np.asarray(translated.rows[np.sort(order_a[: round(share * len(order_a))])], np.float64)
        b = np.asarray(real.rows[np.sort(order_b[: round(share * len(order_b))])], np.float64)
        values.append(Moments.of(a).distance(Moments.of(b)))
    slope_and_intercept = np.polyfit(1 / shares, np.array([*values, full]), 1)
    return float(slope_and_intercept[1])
