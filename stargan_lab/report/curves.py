"""Learning curves of an ablation: each variant's mean over its seeds, and a band from the lowest to the highest."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.runs import descriptions, finished
from stargan_lab.report.style import look, new_figure, save
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder

POINTS = 200
"""Curves with more steps are thinned to about this many."""


def draw_curves(ablation: Ablation, runs: DataFrame, stem: Path, formats: Sequence[str] = ("svg",)) -> list[Path]:
    """Save a panel per loss, and per main score that was also computed during training.

    Returns:
        The files; none if no finished run has a log with at least two steps.
    """
    rows = _rows(ablation, runs)
    if rows.empty:
        return []
    panels = list(rows["metric"].unique())
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(3.4 * columns, 2.1 * lines + 0.5)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, metric in zip(axes, panels, strict=False):
        for i, variant in enumerate(ablation.variants):
            values = rows[(rows["metric"] == metric) & (rows["variant"] == variant)].groupby("step")["value"]
            if len(values):
                style = look(i) | {"marker": ""}
                axis.plot(values.mean(), label=variant, linewidth=1.2, **style)
                axis.fill_between(
                    values.mean().index, values.min(), values.max(), color=style["color"], alpha=0.15, linewidth=0
                )
        axis.set_title(lookup(metric, descriptions(runs)).label, fontsize=9, loc="left")
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("step", fontsize=7)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False, fontsize=8)
    return save(figure, stem, formats)


def _rows(ablation: Ablation, runs: DataFrame) -> DataFrame:
    """variant, metric, step, value of the logged losses and intermediate scores, thinned."""
    frames = []
    for run in finished(runs).itertuples():
        if run.folder is None or run.variant not in ablation.variants:
            continue
        logged = RunFolder(run.folder).rows()
        steps = [row.step for row in logged if any(name.startswith("loss/") for name in row.metrics)]
        kept = set(steps[:: max(1, len(steps) // POINTS)]) | set(steps[-1:])
        frames += [
            (run.variant, name, row.step, value)
            for row in logged
            for name, value in row.metrics.items()
            if (name.startswith("loss/") and row.step in kept) or name.startswith("eval/")
            if name.count("/") == 1
        ]
    rows = DataFrame(frames, columns=["variant", "metric", "step", "value"])
    known = descriptions(runs)
    several = rows.groupby("metric")["step"].nunique()
    shown = [
        metric
        for metric in pd.unique(rows["metric"])
        if several[metric] > 1 and (metric.startswith("loss/") or lookup(metric, known).main)
    ]
    return rows[rows["metric"].isin(shown)]
