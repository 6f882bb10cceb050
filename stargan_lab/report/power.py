"""Power of the paired t-test (noncentral t), and its two inverses: the number of seeds and the detectable effect."""

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtr, ndtri, stdtrit

MOST_NEEDED = 10_000
"""Above this, a required number of seeds counts as unknown."""
BLOCK = 8  # seeds that one call evaluates
STEPS = 10**9  # resolution of a detectable ratio


def power(ratio: float, seeds: ArrayLike, level: ArrayLike) -> np.ndarray:
    """Probability that a two-sided paired t-test finds a true difference.

    Args:
        ratio: the true mean difference divided by the standard deviation of the differences.
        seeds: number of pairs, at least 2, of any shape.
        level: level of this one comparison, in [0, 1), of the same shape.

    Returns:
        Values of that shape, in [0, 1].
    """
    freedom, shift = np.asarray(seeds) - 1, ratio * np.sqrt(seeds)
    critical = -stdtrit(freedom, np.asarray(level) / 2)
    tails = [1 - nctdtr(freedom, sign * shift, critical) for sign in (1, -1)]
    return np.nan_to_num(tails[0]) + np.nan_to_num(tails[1])  # a tail below the smallest float comes back as NaN


def seeds_for(ratio: float, level: Callable[[int], float], target: float = 0.8) -> int | None:
    """The smallest number of seeds with power ``target``; None for ``ratio`` 0 and above ``MOST_NEEDED``.

    Args:
        ratio: as for ``power``.
        level: level of one comparison for a number of pairs; must not decrease with it.
        target: in (0, 1).
    """
    if ratio == 0:
        return None
    # With a known standard deviation fewer seeds would do, so the search starts at that number.
    start = max(2, int(((ndtri(1 - level(MOST_NEEDED) / 2) + ndtri(target)) / ratio) ** 2))
    while start <= MOST_NEEDED:
        seeds = np.arange(start, start + BLOCK)
        reached = power(ratio, seeds, np.array([level(int(n)) for n in seeds])) >= target
        if reached.any():
            return int(seeds[reached.argmax()])
        start += BLOCK
    return None


@lru_cache(maxsize=256)  # the variants of a table usually have equal numbers of seeds
def detectable_ratio(seeds: int, level: float, target: float = 0.8) -> float:
    """The smallest true difference, in standard deviations of the differences, that has power ``target``."""
    bound = 1.0
    while power(bound, seeds, level) < target:
        bound *= 2

    def power_at(step: int) -> float:
        return float(power(bound * step / STEPS, seeds, level))

    return bound * bisect_left(range(STEPS), target, key=power_at) / STEPS
