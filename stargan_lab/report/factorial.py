"""Main effects and two-way interactions of a grid, as paired values per seed.

Only seeds with a value in every cell are used, so that each effect averages over the same cells (Montgomery, Design and
Analysis of Experiments, chapter 5).
"""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame

from stargan_lab.ablation.spec import TIMES, Ablation, cell_name

NO_INTERACTION = "no interaction"
"""The baseline of an interaction's frame; its values are 0."""


class Contrast(NamedTuple):
    """A main effect, or the interaction of two factors.

    Attributes:
        frame: for ``report.statistics.verdicts``; its variants are the baseline and rows of ``Ablation.contrasts``.
        compared: row -> what is compared with what, in words.
    """

    frame: DataFrame
    baseline: str
    compared: dict[str, tuple[str, str]]


def contrasts(ablation: Ablation, values: DataFrame) -> dict[str, Contrast]:
    """Title -> the main effect of each factor, and the interaction of each two; none without a complete seed.

    Args:
        ablation, values: as for ``main_effects``.
    """
    base, rows, result = ablation.baseline_levels, ablation.contrasts(), {}
    for factor, frame in main_effects(ablation, values).items():
        baseline = cell_name({factor: base[factor]})
        averaged = f"averaged over {' and '.join(other for other in ablation.factors if other != factor)}"
        compared = {row: (f"{row} ({averaged})", baseline) for row in rows[factor]}
        result[f"Main effect of {factor}, relative to {base[factor]}"] = Contrast(frame, baseline, compared)
    for (one, other), frame in interactions(ablation, values).items():
        usual = f"that with {cell_name({other: base[other]})}"
        pairs = product(rows[one], rows[other])
        compared = {TIMES.join(pair): (f"The effect of {pair[0]} with {pair[1]}", usual) for pair in pairs}
        title = f"Interaction of {one} and {other}, relative to {base[one]} and {base[other]}"
        result[title] = Contrast(frame, NO_INTERACTION, compared)
    return {title: contrast for title, contrast in result.items() if len(contrast.frame)}


def main_effects(ablation: Ablation, values: DataFrame) -> dict[str, DataFrame]:
    """Factor -> the mean of each level over the levels of all other factors.

    The difference of two levels with the same seed is the mean paired difference over the other factors' levels.

    Args:
        ablation: a grid; for named variants the result is empty.
        values: a row per seed, a column per variant. NaN: there is no run. Infinite: the run failed, and the levels of
            its cell count as failed for that seed.
    Returns:
        Frames with the columns variant (``norm=instance``), seed and value; the baseline is the baseline's level.
    """
    seeds, cube = _cube(ablation, values)
    frames = {}
    for axis, (factor, levels) in enumerate(ablation.factors.items()):
        means = cube.mean(axis=tuple(other for other in range(1, cube.ndim) if other != axis + 1))  # (seeds, levels)
        of_levels = {cell_name({factor: level}): means[:, index] for index, level in enumerate(levels)}
        frames[factor] = _frame(of_levels, seeds)
    return frames


def interactions(ablation: Ablation, values: DataFrame) -> dict[tuple[str, str], DataFrame]:
    """Pair of factors -> differences of differences, averaged over the levels of all other factors.

    For levels a and b with baselines a₀ and b₀: (y(a, b) − y(a₀, b)) − (y(a, b₀) − y(a₀, b₀)).

    Args:
        ablation, values: as for ``main_effects``.
    Returns:
        Frames with the columns variant (``norm=instance × penalty=none``), seed and value; the baseline is
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
                columns[TIMES.join((cell_name({one: level}), cell_name({other: with_level})))] = change
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
