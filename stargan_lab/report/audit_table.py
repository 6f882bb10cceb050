"""What else differs between the variants of an ablation: sizes, compute, exposure and cost of their runs."""

from collections.abc import Callable
from typing import NamedTuple

from pandas import DataFrame, Series, isna

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import finished
from stargan_lab.report.number_text import MISSING

DIFFERENT = " *"
TOLERANCE = 0.1
"""Mean costs closer than this to those of the variant compared with, as a share of them, are not marked."""

Show = Callable[[float], str]
Values = dict[str, str | None]
"""A quantity by variant, as shown; None if no run of the variant has an audit."""


class Quantity(NamedTuple):
    """How a number is shown.

    Attributes:
        unit: empty for counts and dimensionless numbers.
    """

    title: str
    unit: str = ""
    show: Show = "{:,}".format

    @property
    def label(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def line(self, value: str) -> str:
        return f"{self.title}: {value} {self.unit}".rstrip()


def _scaled(scale: float) -> Show:
    return lambda value: f"{value / scale:,.4g}" if value < 1e4 * scale else f"{value / scale:,.0f}"


_GFLOP, _NUMBER = _scaled(1e9), "{:g}".format
_KNOWN = {
    "parameters.generator": Quantity("generator parameters"),
    "parameters.discriminator": Quantity("discriminator parameters"),
    "parameters.score_head": Quantity("parameters of the real/fake head"),
    "parameters.label_head": Quantity("parameters of the label head"),
    "flops.generator": Quantity("generator forward pass per image", "GFLOP", _GFLOP),
    "flops.discriminator": Quantity("discriminator forward pass per image", "GFLOP", _GFLOP),
    "flops.discriminator_update": Quantity("discriminator update", "GFLOP", _GFLOP),
    "flops.generator_update": Quantity("generator update", "GFLOP", _GFLOP),
    "flops.iteration": Quantity("training iteration", "GFLOP", _GFLOP),
    "flops.run": Quantity("whole training run", "PFLOP", _scaled(1e15)),
    "scores_per_image": Quantity("real/fake scores per image"),
    "receptive_field.convolutions": Quantity("receptive field of a score", "px"),
    "receptive_field.in_image": Quantity("image region that a score depends on", "px"),
    "penalty.samples": Quantity("penalty interpolates per image"),
    "penalty.sums_scores": Quantity("scores in the penalty", show=lambda value: "sum" if value else "mean"),
    "penalty.slope": Quantity("gradient norm of the mean score that the penalty asks for", show=_NUMBER),
    "updates.discriminator": Quantity("discriminator updates"),
    "updates.generator": Quantity("generator updates"),
    "updates.n_critic": Quantity("discriminator updates per generator update"),
    "images.batch_size": Quantity("batch size"),
    "images.total": Quantity("training images seen"),
}
_COSTS = {
    "seconds": Quantity("seconds per run", "s", _scaled(1)),
    "seconds_per_step": Quantity("seconds per step", "s", "{:.3g}".format),
    "peak_memory_mib": Quantity("peak memory", "MiB", "{:,.0f}".format),
}


def audit_table(ablation: Ablation, runs: DataFrame) -> DataFrame:
    """The quantities that differ, and the measured costs: a row per quantity, a column per variant, cells of text.

    A value that, as shown, differs from that of the variant it is compared with ends with `` *``; a cost only beyond
    ``TOLERANCE`` and if the ranges over seeds do not overlap, since the load of the machine also changes costs. Costs
    are means over seeds. A missing value is ``–``, e.g. in runs of older versions.

    Args:
        runs: as ``report.collect_runs.collect`` returns them; only finished runs count.
    """
    rows = {
        _quantity(key).label: _marked(ablation, of) for key, of in _audits(ablation, runs).items() if not _equal(of)
    }
    columns = [f"{v} (baseline)" if v == ablation.baseline else v for v in ablation.variants]
    table = DataFrame.from_dict(rows | _costs(ablation, runs), orient="index", columns=columns, dtype=object)
    return table.rename_axis("quantity")


def equal_in_all(ablation: Ablation, runs: DataFrame) -> list[str]:
    """A line, e.g. ``batch size: 16``, per quantity that is the same in all finished runs."""
    equal = {key: of for key, of in _audits(ablation, runs).items() if _equal(of)}
    return [_quantity(key).line(str(next(iter(of.values())))) for key, of in equal.items()]


def _audits(ablation: Ablation, runs: DataFrame) -> dict[str, Values]:
    """Each quantity of the variants with finished runs. Several values, of runs that differ, are joined."""
    audits = {
        variant: [audit for audit in group if audit]
        for variant, group in finished(runs).groupby("variant", sort=False)["audit"]
    }
    shown: dict[str, Values] = {}
    for key in dict.fromkeys(key for each in audits.values() for audit in each for key in audit):
        show = _quantity(key).show
        texts = {v: dict.fromkeys(show(a[key]) if key in a else MISSING for a in each) for v, each in audits.items()}
        shown[key] = {variant: " / ".join(text) or None for variant, text in texts.items()}
    return shown


def _equal(values: Values) -> bool:
    return len(set(values.values())) == 1


def _marked(ablation: Ablation, values: Values) -> list[str]:
    """A variant that lacks a quantity of its baseline differs from it; one without an audit may not."""
    cells, compared_with = [], ablation.compared_with()
    for variant in ablation.variants:
        cell, baseline = values.get(variant), values.get(compared_with.get(variant, variant))
        cells.append((cell or MISSING) + DIFFERENT * (None not in (cell, baseline) and cell != baseline))
    return cells


def _costs(ablation: Ablation, runs: DataFrame) -> dict[str, list[str]]:
    rows, compared_with = {}, ablation.compared_with()
    for column, quantity in _COSTS.items():
        measured = finished(runs).groupby("variant")[column].agg(["mean", "min", "max"])
        measured = measured.reindex(list(ablation.variants))
        if measured["mean"].notna().any():
            baselines = measured.loc[[compared_with.get(variant, variant) for variant in ablation.variants]]
            differs = _differs(measured, baselines.set_axis(measured.index))
            cells = [MISSING if isna(mean) else quantity.show(mean) for mean in measured["mean"]]
            rows[quantity.label] = [cell + DIFFERENT * mark for cell, mark in zip(cells, differs, strict=True)]
    return rows


def _differs(costs: DataFrame, baselines: DataFrame) -> "Series[bool]":
    """Per variant, whether mean, min and max of a cost differ by more than the tolerance and the spread over seeds."""
    apart = (costs["min"] > baselines["max"]) | (costs["max"] < baselines["min"])
    return apart & ((costs["mean"] / baselines["mean"] - 1).abs() > TOLERANCE)


def _quantity(key: str) -> Quantity:
    prefix, _, name = key.rpartition(".")
    if prefix == "weights":
        return Quantity(f"weight of {name}", show=_NUMBER)
    if prefix == "images.of":
        return Quantity(f"training images seen from {name}")
    return _KNOWN.get(key) or Quantity(key, show=_NUMBER)
