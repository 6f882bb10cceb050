"""Image metrics of one domain, batch by batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.evaluation.metrics.selection import SelectedMetric


class ImageScores:
    """Values per image of several metrics."""

    def __init__(self, metrics: Sequence[SelectedMetric]) -> None:
        self._metrics = metrics
        self._values: dict[str, list[Tensor]] = {}
        self._of_domain: dict[str, float] = {}

    def add(self, batch: ImageBatch) -> None:
        for metric in self._metrics:
            values = metric.image_values(batch)
            if isinstance(values, float):
                self._of_domain[metric.name] = values
            elif values is not None:
                self._values.setdefault(metric.name, []).append(values)

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
