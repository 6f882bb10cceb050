"""Verdicts after every further seed, with an error rate that holds over all of these looks (docs/statistics.md)."""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from pandas import DataFrame
from scipy.special import stdtr

from stargan_lab.errors import LabError
from stargan_lab.report.statistics import Correction, corrected_verdicts

SHAPE = 2
"""Levels grow as pairs ** SHAPE: early looks have little power, so most of alpha is kept for late ones."""
SIMULATIONS = 400_000  # a level of 0.01 is met within ±0.0003 (two standard errors)


@dataclass(frozen=True)
class Looks:
    """A plan: verdicts at ``first`` pairs and after each further one, up to ``last``.

    Raises:
        LabError: not 2 <= first <= last <= 100.
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 2 <= self.first <= self.last <= 100:
            raise LabError(f"looks from {self.first} to {self.last} seeds: need 2 <= first <= last <= 100")

    def correction(self, alpha: float, comparisons: int) -> Correction:
        """Levels by number of pairs: 0 before the first look, and such that all looks together have ``alpha``."""
        smallest = smallest_ratios(self.first, self.last)
        scale = np.quantile(smallest, alpha / comparisons)

        def level(pairs: int) -> float:
            return float(scale * self.weight(pairs))

        def adjust(p: float, pairs: int) -> float:
            if pairs < self.first:
                return 1.0
            share = np.searchsorted(smallest, p / self.weight(pairs), side="right") / SIMULATIONS
            return min(1.0, comparisons * max(float(share), p, 1 / SIMULATIONS))

        return Correction(alpha, level, adjust)

    def weight(self, pairs: int) -> float:
        """Level at a number of pairs, relative to that of the last look."""
        return 0.0 if pairs < self.first else (min(pairs, self.last) / self.last) ** SHAPE


@cache
def smallest_ratios(first: int, last: int) -> np.ndarray:
    """Null distribution, sorted, of the smallest p-value / weight that one variant shows over all looks.

    The t-statistics of the looks depend on the standardized differences alone, so their joint distribution without a
    true difference is known; it is simulated with a fixed seed.
    """
    looks = Looks(first, last)
    random = np.random.default_rng(0)
    mean, squares, smallest = np.zeros(SIMULATIONS), np.zeros(SIMULATIONS), np.full(SIMULATIONS, np.inf)
    for pairs in range(1, last + 1):
        values = random.standard_normal(SIMULATIONS)
        deviation = values - mean
        mean += deviation / pairs
        squares += deviation * (values - mean)  # Welford
        if pairs >= first:
            t = mean * np.sqrt(pairs * (pairs - 1) / squares)
            smallest = np.minimum(smallest, 2 * stdtr(pairs - 1, -np.abs(t)) / looks.weight(pairs))
    return np.sort(smallest)


def sequential_verdicts(
    frame: DataFrame,
    baseline: str,
    metric: str,
    looks: Looks,
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
    smallest_effect: float | None = None,
) -> DataFrame:
    """``verdicts`` at any look of a plan; ``alpha`` bounds the probability of any false verdict over all looks.

    A variant's own number of pairs says which look it is at: variants may have different numbers, and one that is
    decided may be left out of further training, as long as it stays in ``frame``. Below ``looks.first`` pairs its
    interval is infinite. ``attrs["looks"]`` holds the first and last number of pairs.

    Raises:
        LabError: as ``verdicts``, and for a variant with more pairs than ``looks.last``.
    """
    table = corrected_verdicts(
        *(frame, baseline, metric, partial(looks.correction, alpha)),
        alpha=alpha,
        higher_is_better=higher_is_better,
        smallest_effect=smallest_effect,
    )
    for variant, pairs in zip(table["variant"], table["n"], strict=True):
        if pairs > looks.last:
            raise LabError(f"{metric}: variant {variant!r} has {pairs} seeds, but the plan ends at {looks.last}")
    table.attrs["looks"] = (looks.first, looks.last)
    return table


def all_decided(table: DataFrame) -> bool:
    """Whether no variant of a table of verdicts is undecided."""
    return bool((table["verdict"] != "undecided").all())
