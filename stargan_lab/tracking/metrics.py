"""Descriptions of logged metrics: unit, direction, and number of decimals in tables.

A name is ``<group>/<metric>``, or ``<group>/<metric>/<part>`` for one domain or one dataset of it, e.g.
``eval/edit/Blond_Hair`` or ``loss/g_rec/CelebA``; a diagnostic of a layer or loss term in joint training has both,
``diagnostics/layer_gradient/conv1/CelebA``. ``reevaluated.<protocol>/edit`` is ``eval/edit`` of a re-evaluated
run. Evaluation metrics and loss terms come from their registries, including those of a user's module; a run folder
keeps the descriptions of everything it has logged, so that it can be read without that module.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from stargan_lab.errors import LabError, nearest
from stargan_lab.registry import Registry, family

Direction = Literal["higher", "lower", "none"]
ARROWS: Mapping[Direction, str] = {"higher": "↑", "lower": "↓", "none": ""}
PARTS = {"eval": 1, "loss": 1, "diagnostics": 2}
"""Groups of which ``<group>/<metric>/<part>`` may be logged too, with the largest number of parts."""

_REEVALUATED = re.compile(r"^(reevaluated|rescored)\.[0-9a-f]{12}/")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: without a part, e.g. ``eval/edit``.
        unit: empty for a dimensionless number.
        direction: whether higher or lower is better; ``none`` if neither.
        meaning: short text for a table's legend.
        decimals: number of decimals in tables.
        main: whether a report's main table and MLflow's columns show it; the others go into a separate table.
    """

    name: str
    unit: str = ""
    direction: Direction = "none"
    meaning: str = ""
    decimals: int = 4
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


Descriptions = Mapping[str, Metric]
"""Metrics by name, e.g. those that ``RunFolder.descriptions`` reads."""

_TRAINING_METRICS = (
    Metric("speed/images_per_second", "images/s", "higher", "training images per second", 1),
    Metric(
        "speed/seconds_per_step", "s", "lower", "training time per discriminator update, with the generator's share", 4
    ),
    Metric("memory/peak_mib", "MiB", "lower", "peak memory of the device or process", 0),
    Metric("lr/g", meaning="learning rate of the generator", decimals=7),
    Metric("lr/d", meaning="learning rate of the discriminator", decimals=7),
    *(
        Metric(f"diagnostics/{name}", meaning=meaning, main=False)
        for name, meaning in {
            "gradient_norm": "mean gradient norm of the discriminator between real and generated images",
            "gradient_norm_q10": "10 % quantile of the gradient norms",
            "gradient_norm_q50": "median of the gradient norms",
            "gradient_norm_q90": "90 % quantile of the gradient norms",
            "gradient_norm_near_1": "share of gradient norms within 10 % of 1",
            "share_at_bound": "share of the discriminator's weights at the clip bound",
            "critic_gap": "mean score of real minus generated held-out images",
            "wasserstein_estimate": "gap of the differentiated score over its largest gradient norm",
            "score_saturation": "share of real/fake scores beyond ±4.6, where the sigmoid is flat",
            "logit_saturation": "share of label logits beyond ±4.6, where the sigmoid is flat",
            "layer_gradient": "norm of the adversarial loss's gradient at a discriminator layer's output",
            "generator_gradient": "norm of a weighted loss term's gradient over the generator's parameters",
        }.items()
    ),
)


def lookup(name: str, descriptions: Descriptions | None = None) -> Metric:
    """The metric a logged name belongs to.

    Args:
        descriptions: searched first; then the metrics of training and the registries, which this loads.
    Raises:
        LabError: with the nearest known name.
    """
    full = _REEVALUATED.sub("eval/", name)
    group, _, rest = full.partition("/")
    metric, *parts = rest.split("/")
    base = f"{group}/{metric}"
    if len(parts) <= PARTS.get(group, 0) and all(parts):
        if descriptions and base in descriptions:
            return descriptions[base]
        if known := next((each for each in chain(_TRAINING_METRICS, _registered()) if each.name == base), None):
            return known
    raise LabError(f"metric {name!r} is not registered{nearest(full, names(descriptions))}")


def label(name: str, descriptions: Descriptions | None = None) -> str:
    """The header of a logged name's column: the metric's label, with the part if it has one: ``edit/Male ↑``."""
    metric = lookup(name, descriptions)
    part = _REEVALUATED.sub("eval/", name).removeprefix(metric.name)
    return metric.label.replace(metric.name.split("/", 1)[1], metric.name.split("/", 1)[1] + part, 1)


def names(descriptions: Descriptions | None = None) -> list[str]:
    """Every known name, in the order tables show them."""
    registered = [each.name for each in (*_registered(), *_TRAINING_METRICS)]
    return list(dict.fromkeys([*registered, *(descriptions or ())]))


def order(name: str, descriptions: Descriptions | None = None) -> tuple[str, int, str]:
    """A key that sorts names as tables show them: re-evaluated ones last, the parts of a metric after it.

    Raises:
        LabError: ``lookup`` does not find the name.
    """
    base, known = lookup(name, descriptions).name, list(descriptions or ())
    if base not in known:
        known += names()
    prefix = match.group() if (match := _REEVALUATED.match(name)) else ""
    return prefix, known.index(base), _REEVALUATED.sub("eval/", name).removeprefix(base)


def rounded(name: str, value: float, descriptions: Descriptions | None = None) -> float:
    """``value`` as MLflow should show it: the metric's decimals, but never fewer than four significant digits."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, max(lookup(name, descriptions).decimals, 3 - math.floor(math.log10(abs(value)))))


def metric_name(kind: str, label: str) -> str:
    """The name of a feature metric: ``eval/<kind>_<label>``, for a variant of a kind ``eval/<kind>_<label>_<variant>``.

    Args:
        kind: as registered, e.g. ``kid``; ``kid_spread`` is its variant, since ``kid`` is registered too.
        label: of the extractor's features; empty for the official Inception features, whose ``frechet`` is ``fid``.
    """
    measure, _, variant = kind.rpartition("_")
    if measure not in family("feature_metric").in_order():
        measure, variant = kind, ""
    if measure == "frechet" and not label:
        measure = "fid"
    return "eval/" + "_".join(part for part in (measure, label, variant) if part)


def cross_name(metric: str) -> str:
    """The name of an image metric of one dataset's images under another's domains."""
    return f"eval/cross_{metric}"


def extractor_labels(extractor: str) -> Mapping[str, str]:
    """The labels that features of a registered extractor can have, each with a short description of the features."""
    declared: Mapping[str, str] = (
        family("extractor").facts(extractor).get("labels", {extractor: f"{extractor} features"})
    )
    return declared


def _registered() -> Iterator[Metric]:
    """Loss terms and evaluation metrics, a user's own last in each family."""
    terms = family("loss_term")
    for term in terms.in_order():
        yield Metric(f"loss/{term}", meaning=_meaning(terms, term), **_shown(terms.facts(term)))
    images = family("image_metric")
    for metric in images.in_order():
        facts, meaning = _shown(images.facts(metric)), _meaning(images, metric)
        yield Metric(f"eval/{metric}", meaning=meaning, **facts)
        if images.has(metric, "cross"):
            yield Metric(
                cross_name(metric), meaning=f"{metric} of one dataset's images translated to another's labels", **facts
            )
    kinds, extractors = family("feature_metric"), family("extractor").in_order()
    for label, features in (pair for name in extractors for pair in extractor_labels(name).items()):
        for kind in kinds.in_order():
            facts = _shown(kinds.facts(kind))
            main = {"main": not label} if facts.get("main") == "official" else {}
            yield Metric(metric_name(kind, label), meaning=f"{_meaning(kinds, kind)}; {features}", **facts | main)


def _meaning(registry: Registry, name: str) -> str:
    """The first line of the docstring, for a legend."""
    return registry.summary(name).removesuffix(".").replace("``", "")


def _shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in ("unit", "direction", "decimals", "main") if key in facts}
