"""Distances between two sets of images, by their features.

Shapes: n translated images, m real ones, D feature dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stargan_lab.evaluation.features import Features
from stargan_lab.evaluation.frechet import Array, Moments

SUBSETS = 100
SUBSET_SIZE = 1000
NEIGHBOURS = 3
SIZES = 8
SMALLEST_SHARE = 0.25
SEED = 2020
BLOCK = 1000
"""Rows of a kernel matrix in memory at once."""

SETTINGS: Mapping[str, Any] = {
    "kid": {"subsets": SUBSETS, "subset_size": SUBSET_SIZE, "kernel": "(x·y/D + 1)³"},
    "precision_recall": {"neighbours": NEIGHBOURS},
    "infinity": {"sizes": SIZES, "smallest_share": SMALLEST_SHARE},
    "seed": SEED,
}
"""What the numbers depend on beside the features; part of the protocol."""


@dataclass(frozen=True)
class Sample:
    """Features of one set of images: (n, D) rows, and their mean and covariance."""

    rows: Features
    moments: Moments


def distances(translated: Sample, real: Sample) -> dict[str, float]:
    """Every distance that the numbers of images allow, by kind (see ``extractors.metric_name``).

    - ``frechet``: see ``frechet.frechet_distance``; from 2 images a side.
    - ``frechet_infinity``: the same without the bias of finite samples; from 16 images a side.
    - ``kid``, ``kid_spread``: see ``kernel_distance``; from 4 images a side.
    - ``precision``, ``recall``: see ``precision_recall``; from 4 images a side.
    """
    found: dict[str, float] = {}
    fewest = min(translated.moments.n, real.moments.n)
    if fewest >= 2:
        found["frechet"] = translated.moments.distance(real.moments)
    if fewest >= 2 * SIZES:
        found["frechet_infinity"] = frechet_at_infinity(translated, real, found["frechet"])
    if fewest >= NEIGHBOURS + 1:
        found["kid"], found["kid_spread"] = kernel_distance(translated.rows, real.rows)
        found["precision"], found["recall"] = precision_recall(translated.rows, real.rows)
    return found


def kernel_distance(translated: Features, real: Features) -> tuple[float, float]:
    """KID: the unbiased squared MMD under the kernel (x·y/D + 1)³ (Bińkowski et al. 2018).

    Returns:
        Mean and standard deviation over 100 random subsets of 1,000 images a side, or of half of the smaller side
        where that is less: subsets of everything would all be the same. Slightly below 0 for equal distributions.
    """
    size = min(SUBSET_SIZE, min(len(translated), len(real)) // 2)
    generator = np.random.RandomState(SEED)  # torch-fidelity's generator and order, so that the subsets are its own
    chosen = np.zeros((len(translated), SUBSETS)), np.zeros((len(real), SUBSETS))
    for subset in range(SUBSETS):
        for side in chosen:
            side[generator.choice(len(side), size, replace=False), subset] = 1
    within = sum(_kernel_sums(x, x, c, c, True) for x, c in zip((translated, real), chosen, strict=True))
    across = _kernel_sums(translated, real, *chosen, False)
    values = within / (size * (size - 1)) - 2 * across / size**2
    return float(values.mean()), float(values.std())


def _kernel_sums(a: Features, b: Features, in_a: Array, in_b: Array, without_itself: bool) -> Array:
    """(S,) the kernel summed over the pairs of each subset: one kernel matrix serves them all, block by block.

    Args:
        in_a, in_b: (n, S) and (m, S) of 0 and 1, which rows are in which subset.
        without_itself: leave out the pairs of a row with itself.
    """
    right, total = np.asarray(b, np.float64), np.zeros(in_a.shape[1])
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        kernel = np.asarray(a[rows], np.float64) @ right.T / right.shape[1] + 1
        kernel *= kernel * kernel
        if without_itself:
            kernel[np.arange(len(kernel)), np.arange(start, start + len(kernel))] = 0
        total += (in_a[rows] * (kernel @ in_b)).sum(axis=0)
    return total


def precision_recall(translated: Features, real: Features) -> tuple[float, float]:
    """Improved precision and recall with 3 neighbours (Kynkäänniemi et al. 2019), by torch-fidelity.

    Returns:
        Shares: of translated images that lie among the real ones, and of real ones that lie among the translated.
    """
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    found = prc_features_to_metric(
        torch.from_numpy(np.array(translated, np.float64)),
        torch.from_numpy(np.array(real, np.float64)),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=2000,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def frechet_at_infinity(translated: Sample, real: Sample, whole: float) -> float:
    """The Fréchet distance extrapolated to infinitely many images on both sides (Chong and Forsyth 2020).

    Its bias is close to proportional to 1/n. The distance of growing shares of both sides is fitted by a line in 1/n,
    whose value at 0 is returned; it may be slightly negative. Unlike the source, which has a fixed large set of real
    images, both sides shrink by the same share, so that both biases go.

    Args:
        whole: the distance of all images.
    """
    generator = np.random.default_rng(SEED)
    order_a, order_b = generator.permutation(len(translated.rows)), generator.permutation(len(real.rows))
    shares = np.linspace(SMALLEST_SHARE, 1, SIZES)
    values = [
        _share_distance(
            translated.rows[np.sort(order_a[: round(share * len(order_a))])],
            real.rows[np.sort(order_b[: round(share * len(order_b))])],
        )
        for share in shares[:-1]
    ]
    slope_and_intercept = np.polyfit(1 / shares, np.array([*values, whole]), 1)
    return float(slope_and_intercept[1])


def _share_distance(a: Features, b: Features) -> float:
    moments = Moments.empty(a.shape[1]), Moments.empty(b.shape[1])
    for part, accumulated in zip((a, b), moments, strict=True):
        accumulated.update(np.asarray(part, np.float64))
    return moments[0].distance(moments[1])
