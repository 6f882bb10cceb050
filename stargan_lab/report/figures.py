"""The effect plot of an ablation: each variant's difference from its baseline, with the interval, and every pair."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.figures.style import new_figure, save
from stargan_lab.report.collect_runs import descriptions
from stargan_lab.report.tables import by_seed
from stargan_lab.tracking.metrics import Metric, lookup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pairs = NDArray[np.float64]
DIRECTIONS = {"higher": "higher is better →", "lower": "← lower is better"}
MOST_PANELS = 6
WIDE_COLUMNS = 3
NARROW = "-narrow"
"""Ends the stem of the version with one column, for narrow pages: the wide one would shrink until it is unreadable."""

NARROW_WIDTH = 3.8
"""Inches, 365 px."""

BAND_IN_PANEL = 3.0
"""A panel shows the edges of a band of at most this many times the range of its data."""

MOST_CIRCLES = 100
"""More pairs per variant are drawn as an image within the vector file."""


def draw_effects(
    ablation: Ablation, runs: DataFrame, effects: Mapping[str, DataFrame], stem: Path, formats: Sequence[str] = ("svg",)
) -> list[Path]:
    """Save a panel for the primary metric and each further main one, up to six.

    Several panels are also saved below each other, as ``stem-narrow.svg``.

    Args:
        effects: metric -> what ``report.effects.effects`` returns.
    Returns:
        The files; none without a difference to show.
    """
    tables = _panels(effects)
    if not tables:
        return []
    columns = min(len(tables), WIDE_COLUMNS)
    drawn = save(_figure(ablation, runs, tables, columns, 2.9 * columns + 0.8), stem, formats)
    if columns > 1:
        narrow = _figure(ablation, runs, tables, 1, NARROW_WIDTH)
        drawn += save(narrow, stem.with_name(f"{stem.name}{NARROW}"), ("svg",))
    return drawn


def band_note(ablation: Ablation, runs: DataFrame, effects: Mapping[str, DataFrame]) -> str:
    """A sentence if the band of the smallest effect is much wider than its panel, which then shows no edge of it."""
    smallest, table = ablation.smallest_effect, _panels(effects).get(ablation.primary)
    if smallest is None or table is None:
        return ""
    low, high = _limits(table, _pairs(table, by_seed(ablation, runs, ablation.primary)), smallest)
    if -smallest <= low <= high <= smallest and low != -smallest:
        return f"The limits of the band, ±{smallest:g}, lie outside the panel."
    return ""


def _panels(effects: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    shown = [name for name, table in effects.items() if "effect" in table and table["effect"].notna().any()]
    return {name: effects[name] for name in shown[:MOST_PANELS]}


def _figure(
    ablation: Ablation, runs: DataFrame, tables: Mapping[str, DataFrame], columns: int, width: float
) -> "Figure":
    lines = math.ceil(len(tables) / columns)
    names = [f"{row.variant} − {row.baseline}" for row in next(iter(tables.values())).itertuples()]
    names = [fill(name, 34 if columns > 1 else 22) for name in names]
    row = max(0.42, *(0.16 * (name.count("\n") + 1) for name in names))
    figure = new_figure(width, (row * len(names) + 1.0) * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    axes[0].set_yticks(range(len(names)), names)  # shared by all panels
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    for axis, (name, table) in zip(axes, tables.items(), strict=False):
        smallest = ablation.smallest_effect if name == ablation.primary else None
        _draw(axis, table, _pairs(table, by_seed(ablation, runs, name)), smallest)
        _label(axis, table, lookup(name, descriptions(runs)), name == ablation.primary)
    for axis in axes[len(tables) :]:
        axis.set_visible(False)
    return figure


def _pairs(table: DataFrame, values: DataFrame) -> Pairs:
    """(rows of ``table``, seeds) differences, NaN without a pair. ``values``: a row per seed, a column per variant."""
    return np.stack([(values[row.variant] - values[row.baseline]).to_numpy(float) for row in table.itertuples()])


def _draw(axis: "Axes", table: DataFrame, pairs: Pairs, smallest: float | None) -> None:
    """All rows are drawn together: an artist for each takes minutes for hundreds of variants."""
    axis.axvline(0, color="black", linewidth=0.8, zorder=1)
    rows, seeds = np.nonzero(~np.isnan(pairs))
    circles = pairs[rows, seeds]
    style: dict[str, Any] = {"markersize": 3, "markerfacecolor": "none", "markeredgewidth": 0.7}
    style["rasterized"] = len(circles) > MOST_CIRCLES * len(table)
    axis.plot(circles, rows + 0.22, "o", color="#555555", zorder=2, **style)
    bounded = _bounded(table)
    ends = table[bounded][["ci_low", "ci_high"]].to_numpy(float)
    axis.hlines(np.flatnonzero(bounded), ends[:, 0], ends[:, 1], color="black", linewidth=1.6, zorder=3)
    decided = table["verdict"].isin(["better", "worse", "equivalent"])
    fill_colors = np.where(decided, "black", "white")
    axis.scatter(table["effect"], range(len(table)), s=34, facecolor=fill_colors, edgecolor="black", zorder=4)
    low, high = _limits(table, pairs, smallest)
    if low < high:
        axis.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    if smallest is not None:
        axis.axvspan(-smallest, smallest, color="#dddddd", linewidth=0, zorder=0)


def _bounded(table: DataFrame) -> NDArray[np.bool_]:
    """The rows with an interval to draw."""
    return np.isfinite(table[["ci_low", "ci_high"]].to_numpy(float)).all(1) & table["effect"].notna().to_numpy()


def _limits(table: DataFrame, pairs: Pairs, smallest: float | None) -> tuple[float, float]:
    """The range of a panel, without its margin: 0, all pairs, the intervals, and the band unless it is far wider."""
    seen = [*pairs[~np.isnan(pairs)], 0.0]
    ends = table[_bounded(table)][["ci_low", "ci_high"]].to_numpy(float).ravel()
    width = 3 * (max(seen) - min(seen))  # an interval from two seeds can be much wider; it then leaves the panel
    low = max(min([*ends, *seen]), min(seen) - width)
    high = min(max([*ends, *seen]), max(seen) + width)
    if smallest is not None and (low == high or 2 * smallest <= BAND_IN_PANEL * (high - low)):
        return min(low, -smallest), max(high, smallest)
    return low, high


def _label(axis: "Axes", table: DataFrame, metric: Metric, primary: bool) -> None:
    unit = f" ({metric.unit})" if metric.unit else ""
    title = f"Δ {metric.name.partition('/')[2].replace('_', ' ')}{unit}"
    axis.set_title(title, fontsize=9, loc="left", fontweight="bold" if primary else "normal")
    axis.set_xlabel(DIRECTIONS[metric.direction], fontsize=7, color="#444444")
    axis.tick_params(axis="x", labelsize=7)
    axis.locator_params(axis="x", nbins=5)  # more labels would overlap
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, labelsize=8)
