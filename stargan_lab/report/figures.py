"""The plot of an ablation: each run is a dot, lines join runs with the same seed, and bars mark means."""

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.files import write_atomically
from stargan_lab.report.runs import descriptions
from stargan_lab.report.tables import by_seed, main_metrics
from stargan_lab.tracking.metrics import Metric, lookup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which remains distinguishable with color vision deficiency
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DIRECTIONS = {"higher": "higher is better ↑", "lower": "lower is better ↓", "none": ""}


def draw_plot(ablation: Ablation, runs: DataFrame, path: Path) -> bool:
    """Save a panel per main metric as a PNG at 170 dpi. False, without a file, if no run has a value."""
    values = {name: by_seed(ablation, runs, name) for name in main_metrics(ablation, runs)}
    values = {name: table for name, table in values.items() if table.notna().any(axis=None)}
    if not values:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(values), 3)
    lines = math.ceil(len(values) / columns)
    width = min(max(3.2, 0.75 * len(ablation.variants) + 1.4), 14 / columns)
    figure = Figure(figsize=(max(width * columns, 4.5), 3.0 * lines + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, (metric, table) in zip(axes, values.items(), strict=False):
        _draw_runs(axis, table, ablation.baseline)
        _label(axis, ablation, lookup(metric, descriptions(runs)))
    for axis in axes[len(values) :]:
        axis.set_visible(False)
    _add_legend(figure, next(iter(values.values())).index)
    figure.suptitle(fill(ablation.title, round(figure.get_figwidth() * 8)), fontsize=12)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=170, facecolor="white"))
    return True


def _draw_runs(axis: "Axes", table: DataFrame, baseline: str) -> None:
    """``table``: a row per seed, a column per variant."""
    count = len(table)
    for i, (_, values) in enumerate(table.iterrows()):
        shift = (i - (count - 1) / 2) * min(0.1, 0.4 / count)
        points = [(x + shift, value) for x, value in enumerate(values) if not math.isnan(value)]
        if not points:
            continue
        xs, ys = zip(*points, strict=True)
        color, marker = _style(i)
        axis.plot(xs, ys, color=color, linewidth=0.9, alpha=0.35, zorder=2)
        axis.scatter(xs, ys, s=30, color=color, marker=marker, edgecolor="white", linewidth=0.6, zorder=3)
    for x, (variant, mean) in enumerate(table.mean().items()):
        if not math.isnan(mean):
            axis.hlines(mean, x - 0.32, x + 0.32, color="black", linewidth=2, zorder=2.5)
            if variant == baseline:
                axis.axhline(mean, color="#888888", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def _label(axis: "Axes", ablation: Ablation, metric: Metric) -> None:
    variants = list(ablation.variants)
    crowded = len(variants) > 4 or any(len(variant) > 12 for variant in variants)
    names = [f"{v}\n(baseline)" if v == ablation.baseline else v for v in variants]
    axis.set_xticks(range(len(variants)), names, fontsize=8, rotation=35 if crowded else 0)
    if crowded:
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axis.set_xlim(-0.6, len(variants) - 0.4)
    title = metric.name.split("/", 1)[1].replace("_", " ") + (f" ({metric.unit})" if metric.unit else "")
    bold = "bold" if metric.name == ablation.primary else "normal"
    axis.set_title(fill(title, 30), fontsize=10, loc="left", fontweight=bold)
    axis.set_ylabel(DIRECTIONS[metric.direction], fontsize=8, color="#555555")
    axis.tick_params(axis="y", labelsize=8)
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.margins(y=0.12)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _style(i: int) -> tuple[str, str]:
    """Color and marker of the i-th seed; all differ for the first 49."""
    return COLORS[i % len(COLORS)], MARKERS[(i + i // len(COLORS)) % len(MARKERS)]


def _add_legend(figure: "Figure", seeds: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    styles = [_style(i) for i in range(len(seeds))]
    handles = [Line2D([], [], color=color, marker=marker, linewidth=0.9) for color, marker in styles]
    handles += [
        Line2D([], [], color="black", linewidth=2),
        Line2D([], [], color="#888888", linestyle="--", linewidth=0.9),
    ]
    labels = [*(f"seed {seed}" for seed in seeds), "mean", "baseline mean"]
    columns = min(len(labels), max(2, int(figure.get_figwidth() / 1.5)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
