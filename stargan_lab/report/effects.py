"""Effects of an ablation's variants, relative to the variant each is compared with, and the verdicts in words."""

import math
from typing import Any

import pandas as pd
from pandas import DataFrame, Series

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report import factorial
from stargan_lab.report.collect_runs import descriptions
from stargan_lab.report.comparable import protocol_of
from stargan_lab.report.number_text import MISSING, difference, interval
from stargan_lab.report.sequential import Looks
from stargan_lab.report.statistics import COLUMNS, ONE_LOOK, LookPlan, verdicts
from stargan_lab.tracking.metrics import Metric, lookup
from stargan_lab.tracking.run_folder import FAILED

ALPHA = 0.05
"""Probability of any false verdict per metric, over all variants of an ablation."""

INTERVAL = f"{100 * (1 - ALPHA):g}% interval"
"""Name of the simultaneous intervals."""

MANY_SEEDS = 100

_AGREES = {("better", "better"), ("worse", "worse"), ("same", "equivalent")}


def effects(ablation: Ablation, runs: DataFrame, metric: str) -> DataFrame:
    """The effect and verdict of every variant other than the baseline.

    Args:
        runs: as ``report.collect_runs.collect`` returns them.
    Returns:
        The columns of ``report.statistics.verdicts``, and ``baseline``, the variant that the row is compared with. The
        correction covers all variants and all looks. Empty if neither higher nor lower values of the metric are better.
    """
    description = lookup(metric, descriptions(runs))
    comparisons = ablation.comparisons()
    total = sum(map(len, comparisons.values()))
    if description.direction == "none" or not total:
        return DataFrame(columns=["variant", "verdict", "baseline"])
    values = values_of(ablation, runs, metric)
    tables = [
        verdicts(
            values[values["variant"].isin([baseline, *variants])],
            baseline,
            metric,
            higher_is_better=description.direction == "higher",
            alpha=ALPHA,
            smallest_effect=_smallest_effect(ablation, metric),
            comparisons=total,
            looks=looks(ablation),
        )
        for baseline, variants in comparisons.items()
        if baseline in set(values["variant"])
    ]
    table = pd.concat(tables) if tables else DataFrame(columns=list(COLUMNS))
    table = table.set_index("variant").reindex([v for v in ablation.variants if v != ablation.baseline]).reset_index()
    unknown = {"verdict": "undecided", "n": 0, "failures": 0}  # no run of the variant, or of its baseline, has ended
    counts = {"n": int, "failures": int}
    return table.fillna(unknown).astype(counts).assign(baseline=table["variant"].map(ablation.compared_with()))


def looks(ablation: Ablation) -> LookPlan:
    """The plan of its looks: at a single number of seeds, or at each of several."""
    return Looks(*ablation.looks) if ablation.looks else ONE_LOOK


def values_of(ablation: Ablation, runs: DataFrame, metric: str) -> DataFrame:
    """variant, seed, value: NaN for a failed run, no row for one that is unfinished or lacks the metric."""
    values = runs.reindex(columns=["variant", "seed", "status", metric]).rename(columns={metric: "value"})
    failed = values["status"].isin(FAILED)
    values.loc[failed, "value"] = math.nan
    return values[failed | ((values["status"] == "finished") & values["value"].notna())]


def contrasts(ablation: Ablation, runs: DataFrame, metric: str) -> dict[str, factorial.Contrast]:
    """Title -> a grid's main effects, and the interaction of each two factors.

    Empty if the ablation is not a grid, or the metric has no direction.
    """
    if not ablation.factors or lookup(metric, descriptions(runs)).direction == "none":
        return {}
    values = values_of(ablation, runs, metric).fillna({"value": math.inf})  # failed; NaN: not trained
    values = values.pivot(index="seed", columns="variant", values="value").reindex(columns=list(ablation.variants))
    return factorial.contrasts(ablation, values)


def _contrast_effects(ablation: Ablation, contrast: factorial.Contrast, metric: Metric) -> DataFrame:
    """The columns of ``verdicts``, a row per row of the contrast; ``alpha`` holds over the rows of this contrast."""
    return verdicts(
        contrast.frame,
        contrast.baseline,
        metric.name,
        higher_is_better=metric.direction == "higher",
        alpha=ALPHA,
        smallest_effect=_smallest_effect(ablation, metric.name),
        looks=looks(ablation),
    )


def _smallest_effect(ablation: Ablation, metric: str) -> float | None:
    return ablation.smallest_effect if metric == ablation.primary else None


def grid_tables(ablation: Ablation, runs: DataFrame, metric: str) -> dict[str, DataFrame]:
    """Title -> effects of a grid, as text."""
    description = lookup(metric, descriptions(runs))
    return {
        title: _effect_text(ablation, _contrast_effects(ablation, contrast, description), description, several=False)
        for title, contrast in contrasts(ablation, runs, metric).items()
    }


def effect_table(ablation: Ablation, runs: DataFrame, metric: str, table: DataFrame) -> DataFrame:
    """A row of text per variant: effect, interval, pairs, adjusted p-value, verdict, and what the claim expects.

    Args:
        table: the metric's ``effects``.
    """
    several = len(ablation.comparisons()) > 1
    return _effect_text(ablation, table, lookup(metric, descriptions(runs)), several)


def _effect_text(ablation: Ablation, table: DataFrame, description: Metric, several: bool) -> DataFrame:
    expected = ablation.expected if description.name == ablation.primary else {}
    smallest = _smallest_effect(ablation, description.name)
    stated, rows = set(expected) & set(table["variant"]), {}
    for row in table.itertuples():
        cells = {"compared with": row.baseline} if several else {}
        cells |= {
            f"Δ {description.label}": difference(row.effect, row.ci_low, row.ci_high, description),
            INTERVAL: interval(row.ci_low, row.ci_high, description),
            "pairs": str(row.n),
            "adjusted p": p_text(row.p_adjusted),
            "verdict": row.verdict
            + (f", by less than {smallest:g}" if _is_small(row, smallest) else "")
            + (f" ({row.failures} failed)" if row.failures else ""),
        }
        if stated:
            cells["expected"] = expected.get(row.variant, "unknown")
        cells["seeds needed"] = _seeds_needed(row) or MISSING
        rows[row.variant] = cells
    return DataFrame.from_dict(rows, orient="index").rename_axis("variant")


def sentences(ablation: Ablation, runs: DataFrame, table: DataFrame) -> list[str]:
    """A sentence per variant with the verdict on the primary metric, its effect, interval, n and protocol.

    Those on the main effects and interactions of a grid follow.

    Args:
        table: the primary metric's ``effects``.
    """
    description = lookup(ablation.primary, descriptions(runs))
    protocol = protocol_of(runs, ablation.primary)
    rows = [(row, row.variant, row.baseline) for _, row in table.iterrows()]
    for contrast in contrasts(ablation, runs, ablation.primary).values():
        of_contrast = _contrast_effects(ablation, contrast, description)
        rows += [(row, *contrast.compared[row.variant]) for _, row in of_contrast.iterrows()]
    return [
        f"{subject} {_claim(row, baseline, ablation.smallest_effect)} ({_numbers(row, description, protocol)})."
        f" {_answer(row.verdict, ablation.expected.get(row.variant, 'unknown'))}".strip()
        for row, subject, baseline in rows
    ]


def _numbers(row: Series, metric: Metric, protocol: str) -> str:
    name = metric.name.partition("/")[2]
    failed = f"; {row.failures} failed" if row.failures else ""
    if row.n:
        effect = difference(row.effect, row.ci_low, row.ci_high, metric)
        unit = f" {metric.unit}" if metric.unit else ""
        return (
            f"Δ {name} {effect}{unit}, {INTERVAL} {interval(row.ci_low, row.ci_high, metric)},"
            f" n = {row.n}{failed}, protocol {protocol}"
        )
    return f"no pairs{failed}, protocol {protocol}"


def _is_small(row: Any, smallest: float | None) -> bool:
    """Whether a difference is known to be smaller than the smallest effect: its whole interval is."""
    different = row.verdict in ("better", "worse")
    return different and smallest is not None and -smallest < row.ci_low and row.ci_high < smallest


def _claim(row: Series, baseline: str, smallest: float | None) -> str:
    texts = {
        "better": f"is better than {baseline}",
        "worse": f"is worse than {baseline}",
        "equivalent": f"is equivalent to {baseline}",
        "failed": "failed too often to be compared",
    }
    if row.verdict in texts:
        small = f", but by less than the smallest effect of interest ({smallest:g})" if _is_small(row, smallest) else ""
        return texts[row.verdict] + small
    needed = f"; {_seeds_needed(row)} seeds in total are needed to decide it" if _seeds_needed(row) else ""
    return f"vs. {baseline} is undecided{needed}"


def _seeds_needed(row: Any) -> str:
    """``about 24`` or ``more than 100``; empty if the row is decided or the number unknown."""
    if row.verdict != "undecided" or pd.isna(row.seeds_needed):
        return ""
    return f"more than {MANY_SEEDS}" if row.seeds_needed > MANY_SEEDS else f"about {row.seeds_needed}"


def _answer(verdict: str, expected: str) -> str:
    if expected == "unknown":
        return ""
    if verdict in ("undecided", "failed"):
        return f"Expected: {expected}; inconclusive."
    return f"Expected: {expected}; {'confirmed' if (expected, verdict) in _AGREES else 'contradicted'}."


def p_text(p: float) -> str:
    """Two significant digits; ``<0.001`` below that."""
    if math.isnan(p):
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.2g}"
