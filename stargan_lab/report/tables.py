"""The tables of a report, as DataFrames of text: means and deviations. Effects and verdicts are in ``effects``."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pandas import DataFrame, Series

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import NOT_SCORED, PARAMETERS, descriptions, finished, scores
from stargan_lab.report.comparable import protocol_of
from stargan_lab.report.number_text import MISSING, decimals, shown
from stargan_lab.report.warning_marks import WarningMarks
from stargan_lab.tracking.metrics import Metric, label, lookup


def by_seed(ablation: Ablation, runs: DataFrame, metric: str) -> DataFrame:
    """The values of a metric: a row per seed of a finished run, a column per variant."""
    values = finished(runs.reindex(columns=["seed", "variant", "status", metric]))
    return values.pivot(index="seed", columns="variant", values=metric).reindex(columns=list(ablation.variants))


def main_metrics(ablation: Ablation, runs: DataFrame) -> list[str]:
    """The primary metric, the secondary ones, then the other scores of finished runs that are registered as main."""
    described = descriptions(runs)
    main = (score for score in scores(runs) if lookup(score, described).main)
    return list(dict.fromkeys([ablation.primary, *(s for s in ablation.secondary if s in runs), *main]))


def further_metrics(ablation: Ablation, runs: DataFrame) -> list[str]:
    """The scores of finished runs that are not in the main table."""
    main = main_metrics(ablation, runs)
    return [score for score in scores(runs) if score not in main]


def main_table(ablation: Ablation, runs: DataFrame) -> DataFrame:
    """A row per variant: the main scores, network sizes and speed."""
    table = _score_table(ablation, runs, labels(runs, main_metrics(ablation, runs)))
    by_variant = finished(runs).groupby("variant")
    for title, column in zip(("G params", "D params"), PARAMETERS, strict=True):
        counts = {variant: sorted(set(group.dropna())) for variant, group in by_variant[column]}
        table[title] = [" / ".join(f"{n:,}" for n in counts.get(v, ())) or MISSING for v in ablation.variants]
    seconds = by_variant["seconds_per_step"].mean().dropna()
    table["s/step"] = [f"{seconds[v]:.3g}" if v in seconds else MISSING for v in ablation.variants]
    return table


def further_table(ablation: Ablation, runs: DataFrame) -> DataFrame:
    """A row per score that is not in the main table, a column per variant; empty if there is none."""
    table = _score_table(ablation, runs, labels(runs, further_metrics(ablation, runs)))
    return table.T.rename_axis("score")


def domain_table(ablation: Ablation, runs: DataFrame) -> DataFrame:
    """The primary metric per domain, a row per variant; no columns if it has no values per domain."""
    return _score_table(ablation, runs, domains(ablation, runs))


def domains(ablation: Ablation, runs: DataFrame) -> dict[str, str]:
    """The primary metric of each domain that has values -> the domain."""
    prefix = f"{ablation.primary}/"
    names = [name for name in runs if name.startswith(prefix)]
    present = finished(runs)[names].notna().any()
    return {name: name.removeprefix(prefix) for name in names if present[name]}


def missing_runs(ablation: Ablation, runs: DataFrame) -> list[str]:
    """A line for each variant and seed without a value in the main table, with the reason."""
    needed = runs.reindex(columns=["variant", "seed", "run_id", "status", "error", ablation.primary])
    runs_by_cell = {(run["variant"], run["seed"]): run for run in needed.to_dict("records")}
    lines = []
    for variant in ablation.variants:
        for seed in sorted({*ablation.seeds, *runs.loc[runs["variant"] == variant, "seed"]}):
            run = runs_by_cell.get((variant, seed))
            reason = "no run" if run is None else _missing(run, ablation.primary)
            lines += [f"{variant}, seed {seed}: {reason}"] if reason else []
    return lines


def missing_metrics(ablation: Ablation, runs: DataFrame) -> list[str]:
    """A line for each secondary metric that no finished run has."""
    present = finished(runs).reindex(columns=list(ablation.secondary)).notna().any()
    return [f"no finished run has the secondary metric {name}" for name in ablation.secondary if not present[name]]


def _missing(run: Mapping[str, Any], primary: str) -> str:
    """Why a run has no value in the main table; empty if it has one."""
    if run["status"] == NOT_SCORED:
        return str(run["error"])
    if run["status"] != "finished":
        return ": ".join(filter(None, (f"{run['status']} (run {run['run_id']})", run["error"])))
    return f"no {primary} (run {run['run_id']})" if pd.isna(run[primary]) else ""


def legend(ablation: Ablation, runs: DataFrame) -> list[str]:
    """A line for each metric in the tables, with its description and protocol."""
    metrics = [*main_metrics(ablation, runs), *further_metrics(ablation, runs)]
    described = descriptions(runs)
    found = {name: lookup(name, described) for name in metrics}
    return [f"{metric.label}: {metric.meaning} (protocol {protocol_of(runs, name)})" for name, metric in found.items()]


def labels(runs: DataFrame, metrics: Sequence[str]) -> dict[str, str]:
    """Metric -> its title in tables."""
    described = descriptions(runs)
    return {name: label(name, described) for name in metrics}


def _score_table(ablation: Ablation, runs: DataFrame, titles: Mapping[str, str]) -> DataFrame:
    """``0.431 ± 0.012 (3) [a]``: a row per variant, a column per metric in ``titles``."""
    marks, described, cells = WarningMarks(runs), descriptions(runs), {}
    done = finished(runs.reindex(columns=["variant", "status", *titles]))
    of_variant = {variant: done[done["variant"] == variant] for variant in ablation.variants}
    for name, title in titles.items():
        metric = lookup(name, described)
        cells[title] = [
            mean_and_deviation(values[name], metric) + marks.of(v, name) for v, values in of_variant.items()
        ]
    variants = [f"{v} (baseline)" if v == ablation.baseline else v for v in ablation.variants]
    return DataFrame(cells, index=variants).rename_axis("variant")


def mean_and_deviation(values: Series, metric: Metric) -> str:
    """``0.431 ± 0.012 (3)``: mean, sample standard deviation (n - 1) and number of the values that are not NaN."""
    count = values.count()
    if count == 0:
        return MISSING
    spread = values.std()
    places = decimals(metric, spread)
    deviation = f" ± {shown(spread, places)}" if count > 1 else ""
    return f"{shown(values.mean(), places)}{deviation} ({count})"
