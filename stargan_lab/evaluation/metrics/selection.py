"""Selection of the metrics of an evaluation, with their options, and checks of the values they return."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.features import Sample
from stargan_lab.evaluation.frechet_distance import Moments
from stargan_lab.evaluation.metrics.inputs import FeaturePair, ImageBatch
from stargan_lab.registry import Registry, family

Configured = Mapping[str, Mapping[str, Any] | bool]
"""``evaluation.metrics``: metric → its options, True for none, False to leave it out."""


@dataclass(frozen=True)
class SelectedMetric:
    """A registered metric and all its options."""

    family: Literal["image_metric", "feature_metric"]
    name: str
    options: Mapping[str, Any]

    @property
    def registry(self) -> Registry:
        return family(self.family)

    def has(self, trait: str) -> bool:
        return self.registry.has(self.name, trait)

    def fact(self, key: str, default: Any) -> Any:
        return self.registry.facts(self.name).get(key, default)

    def provenance(self, *uses: str, seed: int = 0) -> dict[str, Any]:
        """Everything its values depend on, for the protocol: ``uses``, options, version, and a seed other than 0."""
        facts = {"uses": list(dict.fromkeys(uses)), "options": dict(self.options), "version": self.fact("version", 1)}
        return facts | ({"seed": seed} if seed and self.has("random") else {})

    def compute(self, argument: Any) -> Any:
        """Call the metric. Raises LabError in one line when it fails."""
        try:
            return self.registry.build(self.name, argument, **self.options)
        except LabError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            raise LabError(f"metric {self.name!r}: failed ({reason})") from error

    def image_values(self, batch: ImageBatch) -> Tensor | float | None:
        """(n,) float64, a float for the domain, or None. Raises LabError for anything else."""
        result = self.compute(batch)
        if isinstance(result, Tensor) and result.shape == (len(batch.x),):
            result = result.detach().to("cpu", torch.float64)
            if not result.isinf().any():
                return result
        elif result is None or (isinstance(result, Real) and math.isfinite(result)):
            return result if result is None else float(result)
        got = f"a tensor {tuple(result.shape)}" if isinstance(result, Tensor) else repr(result)
        raise LabError(f"metric {self.name!r}: expected ({len(batch.x)},) finite values or NaN, got {got}")

    def value(self, argument: Any) -> float | None:
        """A finite number, or None. Raises LabError for anything else."""
        result = self.compute(argument)
        if result is None or (isinstance(result, Real) and math.isfinite(result)):
            return result if result is None else float(result)
        raise LabError(f"metric {self.name!r}: expected a finite number or None, got {result!r}")


def select(configured: Configured | None) -> list[SelectedMetric]:
    """The shipped metrics and those in ``configured``, without those that are False, in table order."""
    return [*_of_family("image_metric", configured or {}), *_of_family("feature_metric", configured or {})]


def _of_family(name: Literal["image_metric", "feature_metric"], configured: Configured) -> Iterator[SelectedMetric]:
    registry = family(name)
    for metric in registry.in_order():
        given = configured.get(metric, registry.shipped(metric))
        if given is not False:
            parameters = registry.options(metric).values()
            defaults = {p.name: p.default for p in parameters if p.default is not Parameter.empty}
            yield SelectedMetric(name, metric, defaults | (dict(given) if isinstance(given, Mapping) else {}))


def try_metrics(metrics: Sequence[SelectedMetric], source: ImageSource, classifier: AttributeClassifier) -> None:
    """Call every user metric once, so that it fails before the training, not after it. Raises LabError."""
    test = source.split("test")
    indices = range(min(2, len(test)))
    x, labels = test.images(indices), test.labels[: indices.stop]
    batch = ImageBatch(x, x, labels, labels, 0, source.spec, classifier, indices, None, lambda: x)
    rows = np.random.default_rng(0).normal(size=(8, 3))
    sample = Sample(rows.astype(np.float32), Moments.of(rows))
    for metric in (each for each in metrics if not each.registry.shipped(each.name)):
        if metric.family == "image_metric":
            metric.image_values(batch)
        elif metric.has("pooled"):
            metric.value([(sample.moments, sample.moments)])
        else:
            metric.value(FeaturePair(sample, sample))
