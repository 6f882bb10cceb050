"""Verdicts after every further seed, with an error rate that holds over all of these looks (docs/statistics.md)."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import stdtr

from stargan_lab.errors import LabError

SHAPE = 2
"""Levels grow as pairs ** SHAPE: early looks have little power, so most of alpha is kept for late ones."""
MOST_PAIRS = 100
SIMULATIONS = 400_000  # a level of 0.01 is met within ±0.0003 (two standard errors)


@dataclass(frozen=True)
class Looks:
    """A plan: verdicts at ``first`` pairs and after each further one, up to ``last``.

    Raises:
        LabError: not 2 <= first <= last <= MOST_PAIRS.
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 2 <= self.first <= self.last <= MOST_PAIRS:
            raise LabError(f"looks from {self.first} to {self.last} seeds: need 2 <= first <= last <= {MOST_PAIRS}")

    def level(self, alpha: float, pairs: int) -> float:
        """0 before the first look; such that all looks of one comparison together have ``alpha``."""
        return _scale(self.first, self.last, alpha) * self.weight(pairs)

    def p_value(self, p: float, pairs: int) -> float:
        """The repeated p-value: the smallest ``alpha`` at which this look rejects; 1 before the first look."""
        if pairs < self.first:
            return 1.0
        smallest = smallest_ratios(self.first, self.last)
        share = np.searchsorted(smallest, p / self.weight(pairs), side="right") / SIMULATIONS
        return max(float(share), p, 1 / SIMULATIONS)

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


@cache
def _scale(first: int, last: int, alpha: float) -> float:
    """The level of the last look."""
    return float(np.quantile(smallest_ratios(first, last), alpha))
