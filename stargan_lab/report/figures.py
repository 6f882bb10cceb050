"""The effect plot of an ablation: each variant's difference from its baseline, with the interval, and every pair."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.figures.style import new_figure, save
from stargan_lab.report.collect_runs import descriptions
from stargan_lab.report.tables import by_seed
from stargan_lab.tracking.metrics import Metric, lookup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIRECTIONS = {"higher": "higher is better →", "lower": "← lower is better"}
MOST_PANELS = 6
MOST_CIRCLES = 100
"""More pairs per variant are drawn as an image within the vector file."""


def draw_effects(
    ablation: Ablation, runs: DataFrame, effects: Mapping[str, DataFrame], stem: Path, formats: Sequence[str] = ("svg",)
) -> list[Path]:
    """Save a panel for the primary metric and each further main one, up to six.

    Args:
        effects: metric -> what ``report.effects.effects`` returns.
    Returns:
        The files; none without a difference to show.
    """
    shown = [name for name, table in effects.items() if "effect" in table and table["effect"].notna().any()]
    tables = {name: effects[name] for name in shown[:MOST_PANELS]}
    if not tables:
        return []
    columns = min(len(tables), 3)
    lines = math.ceil(len(tables) / columns)
    rows = max(map(len, tables.values()))
    figure = new_figure(2.9 * columns + 0.8, (0.42 * rows + 1.0) * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    names = [f"{row.variant} − {row.baseline}" for row in tables[shown[0]].itertuples()]
    axes[0].set_yticks(range(len(names)), [fill(name, 34) for name in names])  # shared by all panels
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    for axis, (name, table) in zip(axes, tables.items(), strict=False):
        _draw(axis, table, by_seed(ablation, runs, name))
        _label(axis, table, lookup(name, descriptions(runs)), name == ablation.primary)
        if name == ablation.primary and ablation.smallest_effect is not None:
            axis.axvspan(-ablation.smallest_effect, ablation.smallest_effect, color="#dddddd", linewidth=0, zorder=0)
    for axis in axes[len(tables) :]:
        axis.set_visible(False)
    return save(figure, stem, formats)


def _draw(axis: "Axes", table: DataFrame, values: DataFrame) -> None:
    """``values``: a row per seed, a column per variant. All rows are drawn together: an artist for each takes minutes
    for hundreds of variants.
    """
    axis.axvline(0, color="black", linewidth=0.8, zorder=1)
    pairs = np.stack([(values[row.variant] - values[row.baseline]).to_numpy() for row in table.itertuples()])
    rows, seeds = np.nonzero(~np.isnan(pairs))
    circles = pairs[rows, seeds]
    style: dict[str, Any] = {"markersize": 3, "markerfacecolor": "none", "markeredgewidth": 0.7}
    style["rasterized"] = len(circles) > MOST_CIRCLES * len(table)
    axis.plot(circles, rows + 0.22, "o", color="#555555", zorder=2, **style)
    bounded = np.isfinite(table[["ci_low", "ci_high"]].to_numpy(float)).all(1) & table["effect"].notna().to_numpy()
    ends = table[bounded][["ci_low", "ci_high"]].to_numpy(float)
    axis.hlines(np.flatnonzero(bounded), ends[:, 0], ends[:, 1], color="black", linewidth=1.6, zorder=3)
    decided = table["verdict"].isin(["better", "worse", "equivalent"])
    fill_colors = np.where(decided, "black", "white")
    axis.scatter(table["effect"], range(len(table)), s=34, facecolor=fill_colors, edgecolor="black", zorder=4)
    seen = [*circles, 0.0]
    ends = [*ends.ravel()]
    width = 3 * (max(seen) - min(seen))  # an interval from two seeds can be much wider; it then leaves the panel
    low = max(min([*ends, *seen]), min(seen) - width)
    high = min(max([*ends, *seen]), max(seen) + width)
    if low < high:
        axis.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _label(axis: "Axes", table: DataFrame, metric: Metric, primary: bool) -> None:
    unit = f" ({metric.unit})" if metric.unit else ""
    title = f"Δ {metric.name.partition('/')[2].replace('_', ' ')}{unit}"
    axis.set_title(title, fontsize=9, loc="left", fontweight="bold" if primary else "normal")
    axis.set_xlabel(DIRECTIONS[metric.direction], fontsize=7, color="#444444")
    axis.tick_params(axis="x", labelsize=7)
    axis.locator_params(axis="x", nbins=5)  # more labels would overlap
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, labelsize=8)
