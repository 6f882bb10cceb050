"""The variance under a report's tables: its sources, the correlation of pairs, and what the runs can detect."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import descriptions
from stargan_lab.report.effects import ALPHA, contrasts, looks, values_of
from stargan_lab.report.evaluations import EvaluatedRun, values_of_evaluations
from stargan_lab.report.number_text import MISSING, decimals, shown
from stargan_lab.report.statistics import LookPlan, by_variant, differences, standard_deviation
from stargan_lab.report.variance import components, pair_correlation, smallest_detectable
from stargan_lab.tracking.metrics import Metric, lookup


class Spread(NamedTuple):
    """Of one variant: over seeds, and of its differences from its baseline; None: too few runs or pairs."""

    score: float | None
    difference: float | None
    correlation: float | None
    detectable: float | None


COLUMNS = (
    "standard deviation",
    "standard deviation of the differences",
    "correlation",
    "smallest detectable difference",
)


def variance_table(ablation: Ablation, runs: DataFrame, metric: str) -> DataFrame:
    """A row of text per variant: spread over seeds, correlation with its baseline, and the smallest true difference
    that the same number of pairs would detect with probability 0.8."""
    spreads = _spreads(values_of(ablation, runs, metric), ablation.comparisons(), metric, looks(ablation))
    return _text(spreads, lookup(metric, descriptions(runs)))


def grid_variance(ablation: Ablation, runs: DataFrame, metric: str) -> dict[str, DataFrame]:
    """Title of a grid's table -> the same for its levels or combinations."""
    description = lookup(metric, descriptions(runs))
    tables = {}
    for title, contrast in contrasts(ablation, runs, metric).items():
        levels = [level for level in dict.fromkeys(contrast.frame["variant"]) if level != contrast.baseline]
        spreads = _spreads(contrast.frame, {contrast.baseline: levels}, metric, looks(ablation))
        tables[title] = _text(spreads, description)
    return tables


def sources_table(
    ablation: Ablation, runs: DataFrame, evaluated: Sequence[EvaluatedRun], titles: Mapping[str, str]
) -> DataFrame:
    """A row of text per score: the sources of its variance, and the range over variants of what ``variance_table`` has.

    Args:
        evaluated: from ``evaluated_runs``, with these metrics.
        titles: metric -> title of its row.
    """
    described = descriptions(runs)
    rows = {
        title: _sources_row(ablation, runs, evaluated, name, lookup(name, described)) for name, title in titles.items()
    }
    return DataFrame.from_dict({title: row for title, row in rows.items() if row}, orient="index").rename_axis("score")


def _sources_row(
    ablation: Ablation, runs: DataFrame, evaluated: Sequence[EvaluatedRun], metric: str, description: Metric
) -> dict[str, str]:
    """Empty if no evaluation has the metric."""
    values = values_of_evaluations(evaluated, metric)
    if values.empty:
        return {}
    parts = components(values, metric)
    variances = {
        "training seed": parts.training_seed,
        "evaluation seed": parts.evaluation_seed,
        "sample size": parts.sample_size,
        "total": parts.total,
    }
    row = {title: _rounded(None if part is None else part**0.5, description) for title, part in variances.items()}
    spreads = _spreads(values_of(ablation, runs, metric), ablation.comparisons(), metric, looks(ablation)).values()
    known = [each for each in spreads if each is not None]
    return row | {
        "images": f"{parts.images:,}" if parts.images else MISSING,
        "correlation": _range([each.correlation for each in known], "{:.2f}".format),
        "smallest detectable difference": _range(
            [each.detectable for each in known], lambda value: _rounded(value, description)
        ),
    }


def _spreads(
    values: DataFrame, comparisons: Mapping[str, Sequence[str]], metric: str, plan: LookPlan
) -> dict[str, Spread | None]:
    """Variant -> its spread; None without a run of it or of its baseline.

    Args:
        values: variant, seed, value, as for ``verdicts``.
    """
    total, present = sum(map(len, comparisons.values())), set(values["variant"])
    spreads: dict[str, Spread | None] = {}
    for baseline, variants in comparisons.items():
        scores = by_variant(values, baseline, metric) if baseline in present else {}
        for variant in variants:
            spreads[variant] = None
            if variant in scores:
                pairs = differences(scores[variant], scores[baseline])
                spreads[variant] = Spread(
                    standard_deviation(_finite(scores[variant])),
                    standard_deviation(pairs),
                    pair_correlation(scores[variant], scores[baseline]),
                    smallest_detectable(pairs, ALPHA, total, looks=plan),
                )
    return spreads


def _finite(scores: Mapping[int, float]) -> np.ndarray:
    values = np.array(list(scores.values()))
    return values[np.isfinite(values)]


def _text(spreads: Mapping[str, Spread | None], description: Metric) -> DataFrame:
    rows = {}
    for variant, spread in spreads.items():
        cells = [MISSING] * len(COLUMNS)
        if spread is not None:
            correlation = MISSING if spread.correlation is None else f"{spread.correlation:.2f}"
            cells = [_rounded(each, description) for each in (spread.score, spread.difference, spread.detectable)]
            cells.insert(2, correlation)
        rows[variant] = dict(zip(COLUMNS, cells, strict=True))
    return DataFrame.from_dict(rows, orient="index").rename_axis("variant")


def _rounded(value: float | None, description: Metric) -> str:
    """With two significant digits."""
    return MISSING if value is None else shown(value, decimals(description, value))


def _range(values: Sequence[float | None], text: Callable[[float], str]) -> str:
    """``0.12 to 0.93``."""
    present = [value for value in values if value is not None]
    return " to ".join(dict.fromkeys(text(value) for value in (min(present), max(present)))) if present else MISSING
