"""KID: the kernel distance (Bińkowski et al. 2018). Shapes: n translated images, m real ones, D features, S subsets."""

from typing import Annotated

import numpy as np
from pydantic import Field

from stargan_lab.evaluation.features import Features, Sample
from stargan_lab.evaluation.frechet_distance import Array
from stargan_lab.evaluation.metrics.inputs import FeaturePair
from stargan_lab.registry import family

SEED = 2020
"""Seed of the random subsets in evaluations with seed 0; part of the metric's version."""
BLOCK = 1000
"""Rows of a kernel matrix in memory at once."""
FEWEST = 4
"""Minimum number of images per side, so that a subset of half of them contains a pair."""

Subsets = Annotated[int, Field(ge=1)]
SubsetSize = Annotated[int, Field(ge=2)]

feature_metric = family("feature_metric")


@feature_metric.register(
    "kid", source="Bińkowski et al. 2018", traits=("random",), direction="lower", decimals=4, main="official"
)
def kid(pair: FeaturePair, *, subsets: Subsets = 100, subset_size: SubsetSize = 1000) -> float | None:
    """Kernel distance (MMD²).

    Args:
        subsets: number of random subsets that the distance is averaged over.
        subset_size: images per side in each subset, at most half of the smaller side.
    """
    return _kid(pair, subsets, subset_size, 0)


@feature_metric.register("kid_spread", source="Bińkowski et al. 2018", traits=("random",), decimals=4, main=False)
def kid_spread(pair: FeaturePair, *, subsets: Subsets = 100, subset_size: SubsetSize = 1000) -> float | None:
    """Standard deviation of kid over its subsets.

    Args:
        subsets: as in ``kid``.
        subset_size: as in ``kid``.
    """
    return _kid(pair, subsets, subset_size, 1)


def _kid(pair: FeaturePair, subsets: int, subset_size: int, which: int) -> float | None:
    if pair.smaller < FEWEST:
        return None
    return pair.once(kernel_distance, subsets=subsets, subset_size=subset_size, seed=pair.seed)[which]


def kernel_distance(
    translated: Sample, real: Sample, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The unbiased squared MMD under the kernel (x·y/D + 1)³ (Bińkowski et al. 2018).

    Returns:
        Mean and standard deviation over random subsets of ``subset_size`` images per side, but at most half of the
        smaller side, since subsets of all images would be equal. The mean may be below 0 for equal distributions.
    """
    a, b = translated.rows, real.rows
    size = min(subset_size, min(len(a), len(b)) // 2)
    generator = np.random.RandomState(SEED + seed)  # torch-fidelity's generator and order, for the same subsets
    chosen = np.zeros((len(a), subsets)), np.zeros((len(b), subsets))
    for subset in range(subsets):
        for side in chosen:
            side[generator.choice(len(side), size, replace=False), subset] = 1
    within = sum(_kernel_sums(x, x, c, c, True) for x, c in zip((a, b), chosen, strict=True))
    across = _kernel_sums(a, b, *chosen, False)
    values = within / (size * (size - 1)) - 2 * across / size**2
    return float(values.mean()), float(values.std())


def _kernel_sums(a: Features, b: Features, in_a: Array, in_b: Array, exclude_diagonal: bool) -> Array:
    """(S,) the kernel summed over the pairs of each subset; one kernel matrix serves all subsets, block by block.

    Args:
        in_a, in_b: (n, S) and (m, S) of 0 and 1, which rows are in which subset.
        exclude_diagonal: leave out the pairs of a row with itself.
    """
    b64, total = np.asarray(b, np.float64), np.zeros(in_a.shape[1])
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        kernel = np.asarray(a[rows], np.float64) @ b64.T / b64.shape[1] + 1
        kernel *= kernel * kernel
        if exclude_diagonal:
            kernel[np.arange(len(kernel)), np.arange(start, start + len(kernel))] = 0
        total += (in_a[rows] * (kernel @ in_b)).sum(axis=0)
    return total
