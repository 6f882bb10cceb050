"""The effect plot of an ablation: each variant's difference from its baseline, with the interval, and every pair."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

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
"""More pairs of a variant are drawn as an image within the vector file."""


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
    for axis, (name, table) in zip(axes, tables.items(), strict=False):
        _draw(axis, table, by_seed(ablation, runs, name))
        _label(axis, table, lookup(name, descriptions(runs)), name == ablation.primary)
        if name == ablation.primary and ablation.smallest_effect is not None:
            axis.axvspan(-ablation.smallest_effect, ablation.smallest_effect, color="#dddddd", linewidth=0, zorder=0)
    for axis in axes[len(tables) :]:
        axis.set_visible(False)
    return save(figure, stem, formats)


def _draw(axis: "Axes", table: DataFrame, values: DataFrame) -> None:
    """``values``: a row per seed, a column per variant."""
    axis.axvline(0, color="black", linewidth=0.8, zorder=1)
    seen: list[float] = []
    ends: list[float] = []
    for y, row in enumerate(table.itertuples()):
        pairs = (values[row.variant] - values[row.baseline]).dropna()
        style: dict[str, Any] = {"markersize": 3, "markerfacecolor": "none", "markeredgewidth": 0.7}
        style["rasterized"] = len(pairs) > MOST_CIRCLES
        axis.plot(pairs, [y + 0.22] * len(pairs), "o", color="#555555", zorder=2, **style)
        seen += [*pairs, 0.0]
        if math.isnan(row.effect):
            continue
        if math.isfinite(row.ci_low) and math.isfinite(row.ci_high):
            axis.hlines(y, row.ci_low, row.ci_high, color="black", linewidth=1.6, zorder=3)
            ends += [row.ci_low, row.ci_high]
        decided = row.verdict in ("better", "worse", "equivalent")
        axis.scatter([row.effect], [y], s=34, facecolor="black" if decided else "white", edgecolor="black", zorder=4)
    width = 3 * (max(seen) - min(seen))  # an interval from two seeds can be much wider; it then leaves the panel
    low = max(min([*ends, *seen]), min(seen) - width)
    high = min(max([*ends, *seen]), max(seen) + width)
    if low < high:
        axis.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _label(axis: "Axes", table: DataFrame, metric: Metric, primary: bool) -> None:
    names = [f"{row.variant} − {row.baseline}" for row in table.itertuples()]
    axis.set_yticks(range(len(names)), [fill(name, 34) for name in names], fontsize=8)
    axis.set_ylim(len(names) - 0.4, -0.6)
    unit = f" ({metric.unit})" if metric.unit else ""
    title = f"Δ {metric.name.partition('/')[2].replace('_', ' ')}{unit}"
    axis.set_title(title, fontsize=9, loc="left", fontweight="bold" if primary else "normal")
    axis.set_xlabel(DIRECTIONS[metric.direction], fontsize=7, color="#444444")
    axis.tick_params(axis="x", labelsize=7)
    axis.locator_params(axis="x", nbins=5)  # more labels would overlap
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
