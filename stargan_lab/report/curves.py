"""Learning curves of an ablation: each variant's mean over its seeds, and a band from the lowest to the highest."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pandas import Categorical, DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.console import say
from stargan_lab.errors import LabError
from stargan_lab.figures.style import look, panel_figure, save
from stargan_lab.report.collect_runs import descriptions, finished
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder

POINTS = 200
"""Curves with more steps are thinned to about this many."""

LEGEND_COLUMNS = 4


def draw_curves(ablation: Ablation, runs: DataFrame, stem: Path, formats: Sequence[str] = ("svg",)) -> list[Path]:
    """Save a panel per loss, and per main score that was also computed during training.

    Returns:
        The files; none if no finished run has a log with at least two steps.
    """
    rows = _rows(ablation, runs)
    if rows.empty:
        return []
    panels = list(dict.fromkeys(rows["metric"]))
    columns = min(len(panels), 3)
    legend = 0.1 + 0.18 * math.ceil(len(ablation.variants) / LEGEND_COLUMNS)
    figure, axes = panel_figure(len(panels), columns, legend)
    curves = rows.groupby(["metric", "variant", "step"], observed=True)["value"].agg(["mean", "min", "max"])
    for axis, metric in zip(axes, panels, strict=True):
        of_metric = curves.loc[metric]
        for i, variant in enumerate(ablation.variants):
            if variant in of_metric.index:
                curve, style = of_metric.loc[variant], look(i) | {"marker": ""}
                axis.plot(curve["mean"], label=variant, linewidth=1.2, **style)
                axis.fill_between(
                    curve.index, curve["min"], curve["max"], color=style["color"], alpha=0.15, linewidth=0
                )
        axis.set_title(lookup(metric, descriptions(runs)).label, fontsize=9, loc="left")
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("step", fontsize=7)
    handles, labels = axes[0].get_legend_handles_labels()
    columns = min(len(labels), LEGEND_COLUMNS)
    figure.legend(handles, labels, loc="lower center", ncols=columns, frameon=False, fontsize=8, borderaxespad=0.2)
    return save(figure, stem, formats)


def _rows(ablation: Ablation, runs: DataFrame) -> DataFrame:
    """variant, metric, step, value of the logged losses and intermediate scores, thinned."""
    columns: dict[str, list[Any]] = {"variant": [], "metric": [], "step": [], "value": []}
    for variant, folder in finished(runs)[["variant", "folder"]].itertuples(index=False):
        if folder is None or variant not in ablation.variants:
            continue
        try:
            logged = RunFolder(folder).rows()
        except LabError as error:
            say(f"warning: left out of the curves: {error}")
            continue
        steps = [row.step for row in logged if any(map(_is_loss, row.metrics))]
        kept = set(steps[:: max(1, len(steps) // POINTS)]) | set(steps[-1:])
        for row in logged:
            names = [name for name in row.metrics if (_is_loss(name) and row.step in kept) or _is_score(name)]
            columns["variant"] += [variant] * len(names)
            columns["metric"] += names
            columns["step"] += [row.step] * len(names)
            columns["value"] += [row.metrics[name] for name in names]
    rows = DataFrame(columns | {name: Categorical(columns[name]) for name in ("variant", "metric")})
    known = descriptions(runs)
    several = rows.groupby("metric", observed=True)["step"].nunique()
    shown = [
        metric
        for metric in dict.fromkeys(columns["metric"])
        if several[metric] > 1 and (_is_loss(metric) or lookup(metric, known).main)
    ]
    return rows[rows["metric"].isin(shown)]


@cache
def _is_loss(name: str) -> bool:
    return name.startswith("loss/") and name.count("/") == 1


@cache
def _is_score(name: str) -> bool:
    """Whether it is an overall score, not one of a domain."""
    return name.startswith("eval/") and name.count("/") == 1
