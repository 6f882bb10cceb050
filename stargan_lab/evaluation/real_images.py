"""The real images that translations are compared with: their features and moments, computed once and cached.

Shapes: A labels, n reference images, D feature dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.context import Context
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.features import (
    Features,
    Sample,
    batch_size,
    cache_key,
    cached_features,
    cached_moments,
    compute_features,
    in_batches,
)
from stargan_lab.evaluation.frechet_distance import Moments


def reference_split(source: ImageSource) -> str:
    """``valid`` if it has images, else ``train``; never the translated split. Raises LabError without test images."""
    filled = [which for which in source.splits() if len(source.split(which))]
    if "test" not in filled:
        raise LabError(f"data.sources.{source.name}: evaluation needs test images, found only {', '.join(filled)}")
    return "valid" if "valid" in filled else "train"


def reference_labels(source: ImageSource, max_images: int | None) -> Tensor:
    """(N, A) bool: which images of the reference split have which label, only the first ``max_images`` of each."""
    has_label = source.split(reference_split(source)).labels == 1
    return has_label if max_images is None else has_label & (has_label.cumsum(0) <= max_images)


@dataclass(frozen=True)
class ReferenceFeatures:
    """Features of one dataset's reference images.

    Attributes:
        rows: (n, D), memory-mapped, of the images that have any label.
        labels: (n, A) bool.
        moments: A means and covariances.
    """

    rows: Features
    labels: Tensor
    moments: list[Moments]

    def sample(self, domain: int) -> Sample:
        """The images that have label ``domain``."""
        return Sample(self.rows[self.labels[:, domain].numpy()], self.moments[domain])


def reference_features(source: ImageSource, extractor: Extractor, context: Context) -> ReferenceFeatures:
    """Features of the reference images of every label and their moments, from the cache if possible."""
    split, labels = reference_split(source), reference_labels(source, context.max_images)
    needed = labels.any(dim=1).nonzero()[:, 0]
    labels = labels[needed]
    if len(needed) == 0:
        return ReferenceFeatures(torch.empty(0, 1).numpy(), labels, [Moments.empty(1) for _ in source.spec.names])
    key = {
        "data": source.fingerprint,
        "split": split,
        "max_images": context.max_images,
        "extractor": cache_key(extractor, context.device),
    }

    def measure() -> Iterator[Tensor]:
        images = source.split(split)
        with context.bar(f"{extractor.name} features of {source.name}", len(needed)) as bar:
            for chosen in in_batches(needed.tolist(), batch_size(extractor, context.device)):
                yield compute_features(extractor, images.images(chosen))
                bar.update(len(chosen))

    rows = cached_features(context.outputs, {**key, "what": "features"}, measure, len(needed))
    moments = cached_moments(context.outputs, {**key, "what": "moments"}, lambda: _moments(rows, labels))
    return ReferenceFeatures(rows, labels, moments)


def _moments(rows: Features, labels: Tensor) -> list[Moments]:
    """Per label, with at most a thousand rows in memory at once."""
    moments = [Moments.empty(rows.shape[1]) for _ in range(labels.shape[1])]
    for start in range(0, len(rows), 1000):
        part, has_label = rows[start : start + 1000], labels[start : start + 1000].numpy()
        for index, domain in enumerate(moments):
            domain.update(part[has_label[:, index]])
    return moments
