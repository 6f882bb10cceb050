"""Statistics of the real images a translation is compared with, kept under ``outputs/cache/features``.

Shapes: A labels, D feature dimensions.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.batch import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.frechet import Moments


def reference_split(source: ImageSource) -> str:
    """``valid`` where it has images, else ``train``: never the translated one. Raises LabError if there is no test."""
    filled = [which for which in source.splits() if len(source.split(which))]
    if "test" not in filled:
        raise LabError(f"data.sources.{source.name}: evaluation needs test images, there are only {', '.join(filled)}")
    return "valid" if "valid" in filled else "train"


def reference_moments(
    source: ImageSource,
    extractor: Extractor,
    max_images: int | None,
    batch_size: int,
    outputs: Path,
    progress: bool = True,
) -> list[Moments]:
    """Per label, mean and covariance of the features of the first ``max_images`` reference images that have it."""
    split = reference_split(source)
    key = {
        "data": source.fingerprint,
        "split": split,
        "extractor": [extractor.name, extractor.sha256],
        "max_images": max_images,
        "version": 1,
    }
    path = outputs / "cache" / "features" / f"{files.canonical_hash(key)[:16]}.npz"
    if not path.exists():
        with files.locked(path.with_suffix(".lock")):
            if not path.exists():
                moments = _measure(source, split, extractor, max_images, batch_size, progress)
                _write(path, moments)
    with np.load(path, allow_pickle=False) as saved:
        stored = zip(saved["n"].tolist(), saved["mean"], saved["scatter"], strict=True)
        return [Moments(n, mean, scatter) for n, mean, scatter in stored]


def _measure(
    source: ImageSource, split: str, extractor: Extractor, max_images: int | None, batch_size: int, progress: bool
) -> list[Moments]:
    images = source.split(split)
    held = images.labels == 1
    if max_images is not None:
        held &= held.cumsum(0) <= max_images
    moments = [Moments.empty(extractor.dims) for _ in source.spec.names]
    needed = held.any(dim=1).nonzero()[:, 0]
    for chosen in tqdm(
        needed.split(batch_size),
        desc=f"{extractor.name} features of {source.name}",
        leave=False,
        disable=None if progress else True,
    ):
        features = extractor.features(images.images(chosen.tolist())).numpy()
        for index, domain in enumerate(moments):
            domain.update(features[held[chosen, index].numpy()])
    return moments


def _write(path: Path, moments: list[Moments]) -> None:
    arrays = {
        "n": np.array([domain.n for domain in moments]),
        "mean": np.stack([domain.mean for domain in moments]),
        "scatter": np.stack([domain.scatter for domain in moments]),
    }
    files.write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
