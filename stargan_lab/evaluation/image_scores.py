"""Image metrics of one domain, batch by batch.

Shapes: n images of a batch.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.evaluation.metrics.selection import SelectedMetric

ImageValues = Mapping[str, Tensor | float | None]
"""Metric → (n,) values of a batch, its value for the domain, or None if it cannot be computed."""


def image_values(metrics: Sequence[SelectedMetric], batch: ImageBatch) -> ImageValues:
    return {metric.name: metric.image_values(batch) for metric in metrics}


class ImageScores:
    """Values per image of several metrics."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._of_domain: dict[str, float] = {}

    def add(self, batch: ImageValues) -> None:
        for name, values in batch.items():
            if isinstance(values, float):
                self._of_domain[name] = values
            elif values is not None:
                self._values.setdefault(name, []).append(values)

    def means(self) -> dict[str, float | None]:
        """Metric → mean of the values that apply; None if none does. A metric that cannot be computed is absent."""
        means: dict[str, float | None] = {**self._of_domain}
        for metric, parts in self._values.items():
            values = torch.cat(parts)
            means[metric] = None if values.isnan().all() else float(values.nanmean())
        return means

    def excluded(self, metric: str) -> int:
        """Number of images that a metric does not apply to."""
        return sum(int(values.isnan().sum()) for values in self._values.get(metric, []))
