"""The one registry of metrics: what each is called, measured in, and which way is better.

A part after the name, as in ``eval/edit/Blond_Hair`` or ``loss/g_rec/CelebA``, is one domain or one dataset of it.
``reevaluated.<protocol>/edit`` is ``eval/edit`` of a finished run that was scored once more, under another protocol.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
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
        main: whether a report's main table and MLflow's columns show it; the others have a table of their own.
    """

    name: str
    unit: str
    direction: Direction
    meaning: str
    decimals: int = 4
    parts: bool = False
    main: bool = True

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


def register_features(label: str, meaning: str = "") -> None:
    """Add what is measured in the features of one extractor, named as ``evaluation.extractors.metric_name`` does.

    The extractors of one's own need it only where their label is close to a known one.

    Args:
        label: the extractor's; empty for the official Inception weights.
        meaning: ends each metric's legend, e.g. ``the pixels themselves``.
    Raises:
        ValueError: the label is taken.
    """
    for metric in _of_features(label, meaning or f"features {label}").values():
        register(metric)
    _LABELS.append(label)


@cache
def lookup(name: str) -> Metric:
    """The metric a logged name belongs to.

    Features of one's own extractor need not be registered: ``eval/frechet_<label>`` and its like are taken unless the
    label looks like a known one, misspelt.

    Raises:
        LabError: with the nearest registered name.
    """
    whole = _RESCORED.sub("eval/", name)
    parent, _, part = whole.rpartition("/")
    if found := _METRICS.get(whole) or _of_own_features(whole):
        return found
    if part and (found := _METRICS.get(parent) or _of_own_features(parent)) and found.parts:
        return found
    raise LabError(f"metric {name!r} is not registered{nearest(whole, _METRICS)}")


def names() -> list[str]:
    """Every registered name, in the order tables show them."""
    return list(_METRICS)


def order(name: str) -> tuple[str, int, str, int, str]:
    """A key that sorts any names as tables show them: rescored ones last, features of one's own after the known.

    Raises:
        LabError: ``lookup`` does not take the name.
    """
    base, known = lookup(name).name, names()
    again = found.group() if (found := _RESCORED.match(name)) else ""
    part = _RESCORED.sub("eval/", name).removeprefix(base)
    if base in known:
        return again, known.index(base), "", 0, part
    label = _label_of(base)
    last = max(known.index(each) for each in _of_features(_LABELS[-1], ""))
    return again, last, label, list(_of_features(label, "")).index(base), part


def rounded(name: str, value: float) -> float:
    """``value`` as MLflow should show it: the metric's decimals, but never fewer than four significant digits."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, max(lookup(name).decimals, 3 - math.floor(math.log10(abs(value)))))


_RESCORED = re.compile(r"^(?:reevaluated|rescored)\.[0-9a-f]{12}/")
_LABELS: list[str] = []
"""Of the extractors whose metrics are registered."""

_KINDS: dict[str, Metric] = {
    "frechet": Metric("", "", "lower", "Fréchet distance", 2),
    "frechet_infinity": Metric(
        "", "", "lower", "Fréchet distance, extrapolated to infinitely many images", 2, main=False
    ),
    "frechet_pooled": Metric(
        "", "", "lower", "Fréchet distance of all domains together, in equal shares", 2, main=False
    ),
    "kid": Metric("", "", "lower", "kernel distance (MMD²)", 4, main=False),
    "kid_spread": Metric("", "", "none", "standard deviation of kid over its subsets", 4, main=False),
    "precision": Metric("", "", "higher", "share of translations that lie among the real images", 3, main=False),
    "recall": Metric("", "", "higher", "share of real images that lie among the translations", 3, main=False),
}
"""What is measured in any features; see ``evaluation.distances``."""


def _of_features(label: str, meaning: str) -> dict[str, Metric]:
    """The metrics of one extractor by name."""
    found = {}
    for kind, metric in _KINDS.items():
        measure, _, variety = kind.partition("_")
        measure = "fid" if measure == "frechet" and not label else measure
        name = "eval/" + "_".join(word for word in (measure, label, variety) if word)
        main = metric.main or (kind == "kid" and not label)
        found[name] = replace(metric, name=name, meaning=f"{metric.meaning}; {meaning}", parts=True, main=main)
    return found


def _label_of(name: str) -> str:
    """Of ``eval/frechet_<label>`` and its like; empty for any other name."""
    for kind in reversed(_KINDS):  # those with a second word first
        measure, _, variety = kind.partition("_")
        end = f"_{variety}" if variety else ""
        if found := re.fullmatch(rf"eval/{measure}_([A-Za-z0-9][\w.-]*){end}", name):
            return found[1]
    return ""


def _of_own_features(name: str) -> Metric | None:
    """The metric of an extractor that nobody registered; None where its label must be a slip of the pen."""
    label = _label_of(name)
    if not label or label in _LABELS or _looks_like_known(label):
        return None
    return _of_features(label, f"features {label}").get(name)


def _looks_like_known(label: str) -> bool:
    """Whether a label is close to a known one without having all its words; one that ends in a kind's word is, too."""
    words = label.split("_")
    reserved = {word for kind in _KINDS for word in kind.split("_")[1:]}
    if words[-1] in reserved:
        return True
    close = [known for known in {*_LABELS, *reserved} if SequenceMatcher(None, label, known).ratio() >= 0.8]
    return any(not set(known.split("_")) <= set(words) for known in close)


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
    _fill_scores()
    register(Metric("speed/images_per_second", "images/s", "higher", "training images per second", 1))
    register(Metric("speed/seconds_per_step", "s", "lower", "wall time of a critic step", 4))
    register(Metric("memory/peak_mib", "MiB", "lower", "peak memory of the device or process", 0))
    register(Metric("lr/g", "", "none", "learning rate of the generator", 7))
    register(Metric("lr/d", "", "none", "learning rate of the critic", 7))


def _fill_scores() -> None:
    def score(short: str, direction: Direction, meaning: str, decimals: int, unit: str = "", main: bool = True) -> None:
        register(Metric(f"eval/{short}", unit, direction, meaning, decimals, parts=True, main=main))

    score("edit", "higher", "share of the asked change that was made, 1 is exact", 3)
    score("leak", "lower", "mean change where nothing should change", 4)
    score("identity", "higher", "share of outputs whose nearest identity is the right one", 3)
    score("accuracy", "higher", "share of outputs classified as the target", 3)
    ceiling = "share of real test images classified rightly: the ceiling of accuracy"
    score("accuracy_ceiling", "none", ceiling, 3, main=False)
    score("cross_accuracy", "higher", "accuracy of one dataset's images under another's labels", 3)
    score("cross_edit", "higher", "edit of one dataset's images under another's labels", 3)
    register_features("", "official Inception features")
    register_features("inception_unverified", "Inception features of unverified weights")
    for dims in (64, 192, 768):
        register_features(f"inception_{dims}", f"{dims} features of an earlier layer of the official Inception")
    register_features("classifier", "features of the project's own classifier")
    register_features("pixels", "the pixels themselves")
    register_features("torchscript", "features of a TorchScript file")
    score("reconstruction", "lower", "mean |x - G(G(x, target), own)| in [0, 1]", 4)
    score("psnr", "higher", "peak signal-to-noise ratio of G(G(x, target), own)", 2, "dB", main=False)
    score("ssim", "higher", "structural similarity of x and G(G(x, target), own)", 3, main=False)


_fill()
