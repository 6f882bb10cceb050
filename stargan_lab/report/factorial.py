"""Main effects and two-way interactions of a grid, as paired values per seed.

Only seeds with a value in every cell are used, so that each effect averages over the same cells (Montgomery, Design and
Analysis of Experiments, chapter 5).
"""

from itertools import combinations, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation, cell_name

NO_INTERACTION = "no interaction"
"""The baseline of an interaction's frame; its values are 0."""


def main_effects(ablation: Ablation, values: DataFrame) -> dict[str, DataFrame]:
    """Factor -> the mean of each level over the levels of all other factors.

    The difference of two levels with the same seed is the mean paired difference over the other factors' levels.

    Args:
        ablation: a grid; for named variants the result is empty.
        values: a row per seed, a column per variant. NaN: there is no run. Infinite: the run failed, and the levels of
            its cell count as failed for that seed.
    Returns:
        Frames with the columns variant (a level), seed and value; the baseline is ``ablation.baseline_levels[factor]``.
    """
    seeds, cube = _cube(ablation, values)
    frames = {}
    for axis, (factor, levels) in enumerate(ablation.factors.items()):
        means = cube.mean(axis=tuple(other for other in range(1, cube.ndim) if other != axis + 1))  # (seeds, levels)
        frames[factor] = _frame({level: means[:, index] for index, level in enumerate(levels)}, seeds)
    return frames


def interactions(ablation: Ablation, values: DataFrame) -> dict[tuple[str, str], DataFrame]:
    """Pair of factors -> differences of differences, averaged over the levels of all other factors.

    For levels a and b with baselines a₀ and b₀: (y(a, b) − y(a₀, b)) − (y(a, b₀) − y(a₀, b₀)).

    Args:
        ablation, values: as for ``main_effects``.
    Returns:
        Frames with the columns variant (``norm=instance penalty=none``), seed and value; the baseline is
        ``NO_INTERACTION``.
    """
    seeds, cube = _cube(ablation, values)
    frames = {}
    for (i, one), (j, other) in combinations(enumerate(ablation.factors), 2):
        means = cube.mean(axis=tuple(axis for axis in range(1, cube.ndim) if axis not in (i + 1, j + 1)))
        first, second = (
            {level: index for index, level in enumerate(ablation.factors[factor])} for factor in (one, other)
        )
        a0, b0 = first[ablation.baseline_levels[one]], second[ablation.baseline_levels[other]]
        columns = {NO_INTERACTION: np.zeros(len(seeds))}
        for (level, a), (with_level, b) in product(first.items(), second.items()):
            if a != a0 and b != b0:
                with np.errstate(invalid="ignore"):  # of failed runs
                    change = (means[:, a, b] - means[:, a0, b]) - (means[:, a, b0] - means[:, a0, b0])
                columns[cell_name({one: level, other: with_level})] = change
        frames[one, other] = _frame(columns, seeds)
    return frames


def _cube(ablation: Ablation, values: DataFrame) -> tuple[list[int], NDArray[np.float64]]:
    """Seeds with a value in every cell, and their values with an axis per factor after that of the seeds."""
    complete = values[list(ablation.variants)].dropna()
    shape = (len(complete), *map(len, ablation.factors.values()))
    cells = complete.to_numpy(np.float64) if ablation.factors else np.empty(shape)
    return [int(seed) for seed in complete.index], cells.reshape(shape)


def _frame(columns: dict[str, NDArray[np.float64]], seeds: list[int]) -> DataFrame:
    parts = [DataFrame({"variant": name, "seed": seeds, "value": each}) for name, each in columns.items()]
    return pd.concat(parts, ignore_index=True)
