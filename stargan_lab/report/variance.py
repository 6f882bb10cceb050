"""Sources of a score's variance, the effect of pairing, and the smallest difference that the runs can detect."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pandas import DataFrame

from stargan_lab.errors import LabError
from stargan_lab.report.power import detectable_ratio
from stargan_lab.report.statistics import ONE_LOOK, Correction, LookPlan, standard_deviation

INPUT = ("variant", "training_seed", "evaluation_seed", "images", "value")


def smallest_detectable(
    differences: ArrayLike, alpha: float, variants: int, power: float = 0.8, looks: LookPlan = ONE_LOOK
) -> float | None:
    """The smallest true difference, in the metric's units, that the same number of pairs would find with ``power``.

    Args:
        differences: variant minus baseline by seed, [n]; values that are not finite are left out.
        alpha: bound on the probability of any false verdict, in (0, 1).
        variants: number of variants compared with the baseline.
        power: in (alpha, 1).
        looks: the power is that of the look at this number of pairs.

    Returns:
        The difference at the observed standard deviation; None for fewer than 2 differences, if all are equal, and
        before the first look.
    """
    sample = np.asarray(differences, dtype=float)
    sample = sample[np.isfinite(sample)]
    deviation = standard_deviation(sample)
    level = Correction(alpha, variants, looks).level(len(sample))
    return deviation * detectable_ratio(len(sample), level, power) if deviation > 0 and level > 0 else None


def pair_correlation(values: Mapping[int, float], reference: Mapping[int, float]) -> float | None:
    """Pearson correlation of a variant's scores with its baseline's, by seed, over the seeds where both are finite.

    If both vary equally, pairing multiplies the variance of the mean difference by 1 - correlation.

    Returns:
        In [-1, 1]; None for fewer than 3 pairs (2 always give ±1), or without variation.
    """
    pairs = np.array([(values[seed], reference[seed]) for seed in values if seed in reference]).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(1)]
    if len(pairs) < 3 or not np.ptp(pairs, axis=0).all():
        return None
    return float(np.corrcoef(pairs.T)[0, 1])


@dataclass(frozen=True)
class Components:
    """Variances of one score computed from ``images`` images, in the metric's units squared; None: not identifiable."""

    images: int  # the largest number of images among the evaluations
    training_seed: float | None  # between runs of one variant
    evaluation_seed: float | None  # within a run; includes sample_size if that is None
    sample_size: float | None  # the part of the variance within a run that falls as 1 / images
    total: float | None  # of a score over training and evaluation seeds: the sum


def components(values: DataFrame, metric: str) -> Components:
    """Method-of-moments estimates for one-way random effects: runs, and evaluations within a run.

    ``training_seed`` needs two runs of one variant, and repeated evaluations to separate it from ``evaluation_seed``;
    ``sample_size`` needs repeats at two numbers of images. Negative estimates become 0. Variants and numbers of images
    may have different means (FID depends on the number of images). If all runs share their evaluation seeds, an effect
    common to all runs does not count as noise between them (Searle, Casella and McCulloch 1992, chapters 3 and 4).

    Args:
        values: columns ``variant``, ``training_seed``, ``evaluation_seed``, ``images`` and ``value``, a row per
            evaluation of a run; values that are not finite are left out.
        metric: name for messages.

    Raises:
        LabError: missing column, duplicate evaluation, or no finite value.
    """
    for column in INPUT:
        if column not in values:
            raise LabError(f"{metric}: no column {column!r}; columns: {', '.join(map(str, values))}")
    if (twice := values.duplicated(list(INPUT[:-1]))).any():
        key = values.loc[twice, list(INPUT[:-1])].iloc[0].to_dict()
        raise LabError(f"{metric}: two values for {', '.join(f'{k} {v}' for k, v in key.items())}")
    finite = values[np.isfinite(values["value"].astype(float))]
    if finite.empty:
        raise LabError(f"{metric}: no finite value")
    images = int(finite["images"].max())
    within = {int(size): found for size, group in finite.groupby("images") if (found := _within(group))}
    evaluation, sampling = _evaluation_parts(within, images)
    noise = None if evaluation is None else evaluation + (sampling or 0)
    largest = finite[finite["images"] == images]
    between = _between(largest)
    training = total = None
    if between and noise is not None:
        mean_square, repeats = between
        training = max(0.0, (mean_square - _shared_noise(largest, noise)) / repeats)
        total = training + noise
    elif between and between[1] == 1:  # every run evaluated once: only the sum can be seen
        total = between[0]
    return Components(images, training, evaluation, sampling, total)


def _within(group: DataFrame) -> tuple[float, int] | None:
    """Mean square within runs and its degrees of freedom; None without repeats."""
    runs = group.groupby(["variant", "training_seed"])["value"]
    freedom = len(group) - runs.ngroups
    return (float(((group["value"] - runs.transform("mean")) ** 2).sum() / freedom), freedom) if freedom else None


def _between(group: DataFrame) -> tuple[float, float] | None:
    """Mean square between the runs of a variant and the effective evaluations per run; None if no variant has two."""
    runs = group.groupby(["variant", "training_seed"])["value"].agg(["mean", "size"]).reset_index()
    squares = effective = 0.0
    freedom = 0
    for _, of_variant in runs.groupby("variant"):
        mean, size = of_variant["mean"].to_numpy(), of_variant["size"].to_numpy()
        squares += float((size * (mean - np.average(mean, weights=size)) ** 2).sum())
        effective += float(size.sum() - (size**2).sum() / size.sum())
        freedom += len(mean) - 1
    return (squares / freedom, effective / freedom) if freedom else None


def _shared_noise(group: DataFrame, noise: float) -> float:
    """Noise between the means of runs: without the common part if all runs have the same evaluation seeds."""
    table = group.pivot(index=["variant", "training_seed"], columns="evaluation_seed", values="value").to_numpy()
    rows, columns = table.shape
    if np.isnan(table).any() or columns < 2 or rows < 2:
        return noise
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    return float((residual**2).sum() / ((rows - 1) * (columns - 1)))


def _evaluation_parts(within: dict[int, tuple[float, int]], images: int) -> tuple[float | None, float | None]:
    """The variance within runs at a number of images: what remains with many images, and the part ~ 1 / images."""
    if len(within) < 2:
        return (within[images][0] if images in within else None), None
    sizes = np.array(list(within))
    variances, freedom = np.array(list(within.values())).T
    if not variances.any():
        return 0.0, 0.0
    from scipy.optimize import nnls  # slow to import, and few reports have evaluations of several sizes

    weights = np.sqrt(freedom) / np.maximum(variances, 1e-3 * variances.max())  # a variance's error grows with it
    design = np.stack([np.ones(len(sizes)), images / sizes], axis=1)
    constant, sampling = nnls(design * weights[:, None], variances * weights)[0]
    return float(constant), float(sampling)
