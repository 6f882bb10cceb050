"""The real images a translation is compared with: their features and statistics, measured once and kept.

Shapes: A labels, n reference images, D feature dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.extractors import Extractor, take
from stargan_lab.evaluation.feature_distances import Sample
from stargan_lab.evaluation.features import Features, batch_size, in_batches, kept_features, kept_moments, key_of
from stargan_lab.evaluation.frechet import Moments
from stargan_lab.evaluation.setting import Setting


def reference_split(source: ImageSource) -> str:
    """``valid`` where it has images, else ``train``: never the translated one. Raises LabError if there is no test."""
    filled = [which for which in source.splits() if len(source.split(which))]
    if "test" not in filled:
        raise LabError(f"data.sources.{source.name}: evaluation needs test images, there are only {', '.join(filled)}")
    return "valid" if "valid" in filled else "train"


def reference_images(source: ImageSource, max_images: int | None) -> Tensor:
    """(N, A) bool: which images of the reference split stand for which label, the first ``max_images`` of each."""
    held = source.split(reference_split(source)).labels == 1
    return held if max_images is None else held & (held.cumsum(0) <= max_images)


@dataclass(frozen=True)
class Reference:
    """Features of one dataset's reference images.

    Attributes:
        rows: (n, D) of all that are needed, memory-mapped.
        held: (n, A) bool, which of them have which label.
        moments: A means and covariances.
    """

    rows: Features
    held: Tensor
    moments: list[Moments]

    def sample(self, domain: int) -> Sample:
        """The images that have label ``domain``."""
        return Sample(self.rows[self.held[:, domain].numpy()], self.moments[domain])


def reference(source: ImageSource, extractor: Extractor, setting: Setting) -> Reference:
    """Features of the reference images of every label, and their statistics, from the cache where they are there."""
    split = reference_split(source)
    held = reference_images(source, setting.max_images)
    needed = held.any(dim=1).nonzero()[:, 0]
    key = {
        "data": source.fingerprint,
        "split": split,
        "max_images": setting.max_images,
        "extractor": key_of(extractor, setting.device),
    }

    def measure() -> Iterator[Tensor]:
        images, size = source.split(split), batch_size(extractor, setting.device)
        parts = list(in_batches(needed.tolist(), size))
        hidden = None if setting.progress else True
        for chosen in tqdm(parts, f"{extractor.name} features of {source.name}", leave=False, disable=hidden):
            yield take(extractor, images.images(chosen))

    if len(needed) == 0:
        return Reference(torch.empty(0, 1).numpy(), held[needed], [Moments.empty(1) for _ in source.spec.names])
    rows = kept_features(setting.outputs, {**key, "what": "features"}, measure, len(needed))
    held = held[needed]
    moments = kept_moments(setting.outputs, {**key, "what": "moments"}, lambda: _moments(rows, held))
    return Reference(rows, held, moments)


def _moments(rows: Features, held: Tensor) -> list[Moments]:
    """Per label, of the rows that have it, without more than a thousand rows in memory."""
    moments = [Moments.empty(rows.shape[1]) for _ in range(held.shape[1])]
    for start in range(0, len(rows), 1000):
        part, own = rows[start : start + 1000], held[start : start + 1000].numpy()
        for index, domain in enumerate(moments):
            domain.update(part[own[:, index]])
    return moments
