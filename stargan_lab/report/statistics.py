"""Verdicts: which variants differ from the baseline, from differences paired by seed (docs/statistics.md).

The interval, the p-value and the verdict of a variant come from one paired t-test with Bonferroni's correction for the
number of variants. Bonferroni holds under any dependence between the variants, which share the baseline's runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pandas import DataFrame, array
from scipy.special import stdtr, stdtrit

from stargan_lab.errors import LabError, unknown
from stargan_lab.report.power import seeds_for

COLUMNS = (
    *("variant", "n", "effect", "ci_low", "ci_high", "p_value", "p_adjusted", "verdict", "seeds_needed", "failures"),
)
INPUT = ("variant", "seed", "value")
ROUNDING = 8 * np.finfo(float).eps
"""Differences below this fraction of the scores' size are rounding errors."""


class LookPlan(Protocol):
    """At which numbers of pairs one comparison is tested: once, or repeatedly as in ``report.sequential``."""

    @property
    def last(self) -> float:
        """Largest number of pairs."""

    def level(self, alpha: float, pairs: int) -> float:
        """Two-sided level at a number of pairs; all looks together have ``alpha``. Does not decrease with ``pairs``."""

    def p_value(self, p: float, pairs: int) -> float:
        """The p-value over all looks, from that of the look at ``pairs``."""


class OneLook:
    """A single test, at any number of pairs."""

    last = np.inf

    def level(self, alpha: float, pairs: int) -> float:
        return alpha

    def p_value(self, p: float, pairs: int) -> float:
        return p


ONE_LOOK = OneLook()


@dataclass(frozen=True)
class Correction:
    """Bonferroni: each of several comparisons, over all of its looks, at an equal share of ``alpha``."""

    alpha: float  # probability of any false verdict, in (0, 1)
    comparisons: int
    looks: LookPlan = ONE_LOOK

    def level(self, pairs: int) -> float:
        """Two-sided level of one comparison with this number of pairs."""
        return self.looks.level(self.alpha / self.comparisons, pairs)

    def adjust(self, p: float, pairs: int) -> float:
        """The adjusted p-value."""
        return min(1.0, self.comparisons * self.looks.p_value(p, pairs))


def verdicts(
    frame: DataFrame,
    baseline: str,
    metric: str,
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
    smallest_effect: float | None = None,
    comparisons: int | None = None,
    looks: LookPlan = ONE_LOOK,
) -> DataFrame:
    """Compare each variant with the baseline over the seeds that both have.

    A variant is, by the first rule that applies:

    - ``failed`` if at least half of its runs failed;
    - ``better`` or ``worse`` if its interval excludes 0, equivalently ``p_adjusted < alpha``, but a variant with failed
      runs is never ``better``: its remaining runs may be the favorable ones;
    - ``equivalent`` if it has no failed run and both one-sided tests at level ``alpha / variants`` (TOST) place the
      difference within ±``smallest_effect``;
    - ``undecided`` otherwise.

    Args:
        frame: columns ``variant``, ``seed`` and ``value``, a row per run; a value that is not finite is a failed run.
        baseline: the variant to compare with; its failures only remove pairs.
        metric: name for messages.
        higher_is_better: the metric's direction; it decides between ``better`` and ``worse`` only.
        alpha: bound on the probability of any false ``better``, ``worse`` or ``equivalent``, over all variants.
        smallest_effect: the smallest difference that matters, in the metric's units, > 0; None: no equivalence.
        comparisons: number of variants over which ``alpha`` holds, if there are more than those in ``frame``.
        looks: at which numbers of pairs verdicts are computed; ``alpha`` holds over all of them. A variant's own number
            of pairs says which look it is at, so one that is decided may be left out of further training.

    Returns:
        A row per other variant, in order of first appearance: ``variant``; ``n``, the pairs; ``effect``, the mean of
        variant minus baseline; ``ci_low``, ``ci_high``, simultaneous over all variants with coverage 1 - alpha;
        ``p_value``; ``p_adjusted``; ``verdict``; ``seeds_needed`` to find, with power 0.8, a difference of
        ``smallest_effect``, or of the observed size if that is None, at the observed standard deviation (NA if that
        is 0 or unknown, or above 10,000 seeds); ``failures``, the variant's failed runs. NaN where ``n`` is too small.
        ``attrs`` holds ``metric``, ``baseline``, ``alpha``, ``smallest_effect`` and ``baseline_failures``.

    Raises:
        LabError: missing column, unknown baseline, duplicate seed, values that are not numbers, option out of range,
            a variant with more pairs than the last of ``looks``.
    """
    if not 0 < alpha < 1:
        raise LabError(f"{metric}: alpha must be between 0 and 1, got {alpha}")
    if smallest_effect is not None and not 0 < smallest_effect < np.inf:
        raise LabError(f"{metric}: smallest_effect must be a positive number, got {smallest_effect}")
    scores = by_variant(frame, baseline, metric)
    reference = scores.pop(baseline)
    correction = Correction(alpha, comparisons or max(1, len(scores)), looks)
    rows = [
        (variant, *_compare(values, reference, correction, higher_is_better, smallest_effect))
        for variant, values in scores.items()
    ]
    table = DataFrame(rows, columns=list(COLUMNS))
    table["seeds_needed"] = array(table["seeds_needed"].tolist(), dtype="Int64")
    table.attrs.update(metric=metric, baseline=baseline, alpha=alpha, smallest_effect=smallest_effect)
    table.attrs["baseline_failures"] = _failures(reference)
    for row in table[table["n"] > looks.last].itertuples():
        raise LabError(f"{metric}: variant {row.variant!r} has {row.n} seeds, but the plan ends at {looks.last}")
    return table


def by_variant(frame: DataFrame, baseline: str, metric: str) -> dict[str, dict[int, float]]:
    """The checked scores: variant -> seed -> value, in order of first appearance; NaN for a failed run."""
    for column in INPUT:
        if column not in frame:
            raise LabError(f"{metric}: no column {column!r}; columns: {', '.join(map(str, frame))}")
    if baseline not in set(frame["variant"]):
        raise LabError(f"{metric}: {unknown('baseline', str(baseline), map(str, frame['variant'].unique()))}")
    scores: dict[str, dict[int, float]] = {}
    for variant, seed, value in zip(*(frame[column].tolist() for column in INPUT), strict=True):
        of_variant = scores.setdefault(variant, {})
        if seed in of_variant:
            raise LabError(f"{metric}: variant {variant!r}: duplicate seed {seed}")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise LabError(f"{metric}: variant {variant!r}, seed {seed}: not a number: {value!r}") from None
        of_variant[seed] = number if np.isfinite(number) else np.nan
    return scores


def differences(values: Mapping[int, float], reference: Mapping[int, float]) -> np.ndarray:
    """Variant minus baseline, for the seeds where both are finite; differences from rounding alone become 0."""
    pairs = np.array([(values[seed], reference[seed]) for seed in values if seed in reference]).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(1)]
    result = pairs[:, 0] - pairs[:, 1]
    tolerance = ROUNDING * np.abs(pairs).max(initial=0)
    result[np.abs(result) <= tolerance] = 0
    return np.full_like(result, result.mean()) if len(result) and np.ptp(result) <= tolerance else result


def _compare(
    values: Mapping[int, float],
    reference: Mapping[int, float],
    correction: Correction,
    higher_is_better: bool,
    smallest_effect: float | None,
) -> tuple:
    """The cells of a variant's row, after its name."""
    sample = differences(values, reference)
    pairs, failures = len(sample), _failures(values)
    effect = sample.mean() if pairs else np.nan
    level = correction.level(pairs)
    low, high = interval(sample, level)
    p = p_value(sample)
    different = low > 0 or high < 0
    adjusted = correction.adjust(p, pairs) if pairs > 1 else np.nan
    # Interval and p-value come from one test; only rounding can place them on different sides of alpha.
    adjusted = min(adjusted, np.nextafter(correction.alpha, 0)) if different else max(adjusted, correction.alpha)
    if failures and 2 * failures >= len(values):
        verdict = "failed"
    elif different and (effect > 0) != higher_is_better:
        verdict = "worse"
    elif failures:
        verdict = "undecided"
    elif different:
        verdict = "better"
    else:
        verdict = "equivalent" if _within(sample, level, smallest_effect) else "undecided"
    needed = _seeds_needed(sample, smallest_effect, correction)
    return pairs, effect, low, high, p, adjusted, verdict, needed, failures


def standard_deviation(sample: np.ndarray) -> float:
    """With n - 1; NaN for fewer than 2 values, and exactly 0 for equal ones, whose mean may be off by rounding."""
    if len(sample) < 2:
        return np.nan
    return float(sample.std(ddof=1)) if np.ptp(sample) else 0.0


def p_value(sample: np.ndarray) -> float:
    """Two-sided paired t-test of mean 0; the sign test if all differences are equal; NaN for fewer than 2 of them."""
    pairs = len(sample)
    if pairs < 2:
        return np.nan
    deviation = standard_deviation(sample)
    if deviation == 0:
        return 2.0 ** (1 - pairs) if sample[0] else 1.0
    return float(2 * stdtr(pairs - 1, -abs(sample.mean()) * np.sqrt(pairs) / deviation))


def interval(sample: np.ndarray, level: float) -> tuple[float, float]:
    """The values of the mean difference that ``p_value`` does not reject at ``level``; NaN for fewer than 2 pairs.

    Equal differences that are not 0 give no estimate of the noise: a score with few distinct values produces them by
    chance. The sign test then either rejects 0, and the interval is that one value, or the interval is infinite.
    """
    pairs = len(sample)
    if pairs < 2:
        return np.nan, np.nan
    mean, deviation = sample.mean(), standard_deviation(sample)
    if deviation == 0:
        width = 0.0 if mean == 0 or p_value(sample) < level else np.inf
    elif level == 0:
        width = np.inf
    else:
        width = -stdtrit(pairs - 1, level / 2) * deviation / np.sqrt(pairs)
    return float(mean - width), float(mean + width)


def _within(sample: np.ndarray, level: float, smallest_effect: float | None) -> bool:
    """Whether two one-sided tests, each at ``level``, place the mean difference within ±``smallest_effect``."""
    low, high = interval(sample, 2 * level)
    return smallest_effect is not None and -smallest_effect < low and high < smallest_effect


def _seeds_needed(sample: np.ndarray, smallest_effect: float | None, correction: Correction) -> int | None:
    deviation = standard_deviation(sample)
    if not deviation > 0:
        return None
    return seeds_for(abs(smallest_effect or sample.mean()) / deviation, correction.level)


def _failures(values: Mapping[int, float]) -> int:
    return int(np.isnan(list(values.values())).sum())
