"""The one registry of metrics: what each is called, measured in, and which way is better.

A part after the name, as in ``eval/edit/Blond_Hair`` or ``loss/g_rec/CelebA``, is one domain or one dataset of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from stargan_lab.errors import LabError, nearest

Direction = Literal["higher", "lower", "none"]
ARROWS: Mapping[Direction, str] = {"higher": "↑", "lower": "↓", "none": ""}


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: without a part, e.g. ``eval/edit``.
        unit: empty for a pure number.
        direction: which way is better; ``none`` where neither is.
        meaning: a few words for a table's legend.
        decimals: how many a table shows.
        parts: whether ``<name>/<domain>`` may be logged too.
    """

    name: str
    unit: str
    direction: Direction
    meaning: str
    decimals: int = 4
    parts: bool = False

    @property
    def label(self) -> str:
        """Short name with unit and arrow, for headers: ``edit ↑``, ``peak_mib (MiB) ↓``."""
        unit = f" ({self.unit})" if self.unit else ""
        arrow = f" {ARROWS[self.direction]}" if self.direction != "none" else ""
        return f"{self.name.split('/', 1)[1]}{unit}{arrow}"

    def show(self, value: float, signed: bool = False) -> str:
        """``value`` with this metric's decimals; no negative zero."""
        text = f"{value:+.{self.decimals}f}" if signed else f"{value:.{self.decimals}f}"
        return text.replace("-", "", 1) if text.startswith("-") and not text.strip("-0.") else text


_METRICS: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Add a metric, e.g. the term of one's own loss. Raises ValueError when the name is taken."""
    if metric.name in _METRICS:
        raise ValueError(f"metric {metric.name!r} is registered already")
    _METRICS[metric.name] = metric
    lookup.cache_clear()
    return metric


@cache
def lookup(name: str) -> Metric:
    """The metric a logged name belongs to. Raises LabError with the nearest registered name."""
    if name in _METRICS:
        return _METRICS[name]
    parent, _, part = name.rpartition("/")
    if part and parent in _METRICS and _METRICS[parent].parts:
        return _METRICS[parent]
    raise LabError(f"metric {name!r} is not registered{nearest(name, _METRICS)}")


def names() -> list[str]:
    """Every registered name, in the order tables show them."""
    return list(_METRICS)


def rounded(name: str, value: float) -> float:
    """``value`` as MLflow should show it: the metric's decimals, but never fewer than four significant digits."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, max(lookup(name).decimals, 3 - math.floor(math.log10(abs(value)))))


def _fill() -> None:
    losses = {
        "d_real": "critic, adversarial term of real images",
        "d_fake": "critic, adversarial term of translations",
        "d_cls": "critic, classification of real images",
        "d_gp": "critic, Lipschitz penalty before its weight",
        "g_fake": "generator, adversarial term of translations",
        "g_rec": "generator, mean |x - G(G(x, target), own)|",
        "g_cls": "generator, classification of translations",
    }
    for term, meaning in losses.items():
        register(Metric(f"loss/{term}", "", "none", meaning, 4, parts=True))
    scores: list[tuple[str, Direction, str, int]] = [
        ("edit", "higher", "share of the asked change that was made, 1 is exact", 3),
        ("leak", "lower", "mean change where nothing should change", 4),
        ("identity", "higher", "share of outputs whose nearest identity is the right one", 3),
        ("accuracy", "higher", "share of outputs classified as the target", 3),
        ("cross_accuracy", "higher", "accuracy of one dataset's images under another's labels", 3),
        ("cross_edit", "higher", "edit of one dataset's images under another's labels", 3),
        ("fid", "lower", "Fréchet distance, official Inception features", 2),
        ("frechet_inception_unverified", "lower", "Fréchet distance, Inception features of unverified weights", 2),
        ("frechet_classifier", "lower", "Fréchet distance, features of the project's own classifier", 2),
        ("kid", "lower", "kernel distance (MMD²)", 4),
        ("reconstruction", "lower", "mean |x - G(G(x, target), own)|", 4),
    ]
    for short, direction, meaning, decimals in scores:
        register(Metric(f"eval/{short}", "", direction, meaning, decimals, parts=True))
    register(Metric("speed/images_per_second", "images/s", "higher", "training images per second", 1))
    register(Metric("speed/seconds_per_step", "s", "lower", "wall time of a critic step", 4))
    register(Metric("memory/peak_mib", "MiB", "lower", "peak memory of the device or process", 0))
    register(Metric("lr/g", "", "none", "learning rate of the generator", 7))
    register(Metric("lr/d", "", "none", "learning rate of the critic", 7))


_fill()
