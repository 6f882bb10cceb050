"""The plot of one ablation: every run a dot, pairs visible, means marked."""

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from stargan_lab.ablation.spec import Ablation
from stargan_lab.files import write_atomically
from stargan_lab.report.rows import RunRow
from stargan_lab.report.table import by_seed, main_metrics
from stargan_lab.tracking.metrics import lookup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Okabe & Ito's palette: told apart with any colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WORDS = {"higher": "higher is better ↑", "lower": "lower is better ↓", "none": ""}


def plot(ablation: Ablation, rows: Sequence[RunRow], path: Path) -> bool:
    """Save a panel per main metric as a PNG of 170 dpi. False, and no file, when there is nothing to show."""
    metrics = [name for name in main_metrics(ablation, rows) if any(name in row.metrics for row in rows if row.usable)]
    if not metrics:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    variants = list(ablation.variants)
    columns = min(len(metrics), 3)
    lines = math.ceil(len(metrics) / columns)
    width = min(max(3.2, 0.75 * len(variants) + 1.4), 14 / columns)
    figure = Figure(figsize=(max(width * columns, 4.5), 3.0 * lines + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    seeds = sorted({row.seed for row in rows if row.usable})
    for axis, metric in zip(axes, metrics, strict=False):
        _panel(axis, ablation, rows, metric, seeds)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    handles, labels = _legend(seeds)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(len(labels), max(2, int(figure.get_figwidth() / 1.5))),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(fill(ablation.title, round(figure.get_figwidth() * 8)), fontsize=12)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=170, facecolor="white"))
    return True


def _panel(axis: "Axes", ablation: Ablation, rows: Sequence[RunRow], metric: str, seeds: Sequence[int]) -> None:
    variants, kind = list(ablation.variants), lookup(metric)
    values = {variant: by_seed(rows, variant, metric) for variant in variants}
    shift = {seed: (i - (len(seeds) - 1) / 2) * min(0.1, 0.4 / len(seeds)) for i, seed in enumerate(seeds)}
    for i, seed in enumerate(seeds):
        points = [(x + shift[seed], values[v][seed]) for x, v in enumerate(variants) if seed in values[v]]
        colour, marker = _look(i)
        across, up = [p[0] for p in points], [p[1] for p in points]
        axis.plot(across, up, color=colour, linewidth=0.9, alpha=0.35, zorder=2)
        axis.scatter(across, up, s=30, color=colour, marker=marker, edgecolor="white", linewidth=0.6, zorder=3)
    for x, variant in enumerate(variants):
        if values[variant]:
            mean = sum(values[variant].values()) / len(values[variant])
            axis.hlines(mean, x - 0.32, x + 0.32, color="black", linewidth=2, zorder=2.5)
            if variant == ablation.baseline:
                axis.axhline(mean, color="#888888", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    crowded = len(variants) > 4 or any(len(variant) > 12 for variant in variants)
    names = [f"{v}\n(baseline)" if v == ablation.baseline else v for v in variants]
    axis.set_xticks(range(len(variants)), names, fontsize=8, rotation=35 if crowded else 0)
    if crowded:
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axis.set_xlim(-0.6, len(variants) - 0.4)
    unit = f" ({kind.unit})" if kind.unit else ""
    name = kind.name.split("/", 1)[1].replace("_", " ") + unit
    bold = "bold" if metric == ablation.primary else "normal"
    axis.set_title(fill(name, 30), fontsize=10, loc="left", fontweight=bold)
    axis.set_ylabel(WORDS[kind.direction], fontsize=8, color="#555555")
    axis.tick_params(axis="y", labelsize=8)
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.margins(y=0.12)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _look(i: int) -> tuple[str, str]:
    """Colour and marker of the i-th seed; all differ for the first 49."""
    return COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]


def _legend(seeds: Sequence[int]) -> tuple[list["Line2D"], list[str]]:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=0.9) for colour, marker in map(_look, range(len(seeds)))
    ]
    handles += [
        Line2D([], [], color="black", linewidth=2),
        Line2D([], [], color="#888888", linestyle="--", linewidth=0.9),
    ]
    return handles, [*(f"seed {seed}" for seed in seeds), "mean", "baseline mean"]
