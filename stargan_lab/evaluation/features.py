"""Features of images: computed in batches that fit in memory, cached on disk, with running moments.

Shapes: n images, D feature dimensions.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargan_lab import files
from stargan_lab.errors import LabError, one_line
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.frechet_distance import Moments

Features = NDArray[np.float32]
T = TypeVar("T")

LARGEST_BATCH = 128
LARGEST_DIMS = 16384
"""Limit on feature dimensions; their covariance takes 2 GiB."""
MEMORY_SHARE = 0.25
"""Share of the device's total memory, not of its free memory, so that batch sizes and hence rounding are constant."""
VERSION = 4
"""Version of the format of the cached files."""


@dataclass(frozen=True)
class Sample:
    """Features of one set of images: (n, D) rows, and their mean and covariance."""

    rows: Features
    moments: Moments


def compute_features(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of (n, 3, H, W) uint8 images as (n, D) float32 on the CPU.

    Raises:
        LabError: the extractor fails, or its result is not one finite row per image.
    """
    try:
        rows = extractor.features(images)
    except LabError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[-160:]  # TorchScript's cause comes last
        raise LabError(f"extractor {extractor.name!r}: failed on {tuple(images.shape)} images ({reason})") from error
    if not isinstance(rows, Tensor) or rows.dim() != 2 or len(rows) != len(images):
        got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise LabError(f"extractor {extractor.name!r}: expected features of shape ({len(images)}, D), got {got}")
    rows = rows.detach().to("cpu", torch.float32)
    if not torch.isfinite(rows).all():
        raise LabError(f"extractor {extractor.name!r}: features are not finite")
    return rows


class FeatureFile:
    """Features added batch by batch: running moments in memory, the features in a temporary file.

    Args:
        folder: location of the file; it is unlinked immediately, so a killed process leaves nothing behind.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as this object exists)
        self._moments: Moments | None = None

    def add(self, features: Tensor) -> None:
        """(n, D) float32; n may be 0."""
        if len(features):
            rows = features.numpy()
            self._moments = self._moments or Moments.empty(rows.shape[1])
            self._moments.update(rows)
            self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def __len__(self) -> int:
        return self._moments.n if self._moments else 0

    def sample(self) -> Sample:
        """All features added so far; the rows are memory-mapped. Raises LabError when there are none."""
        if self._moments is None:
            raise LabError("no images, so no features")
        self._file.flush()
        return Sample(np.memmap(self._file, np.float32, "r", shape=(len(self), len(self._moments.mean))), self._moments)


def batch_size(extractor: Extractor, device: torch.device) -> int:
    """Images per forward pass: the largest power of two that fits in a quarter of the device's memory."""
    if extractor.memory <= 0:
        return LARGEST_BATCH
    cuda = device.type == "cuda"
    total = torch.cuda.get_device_properties(device).total_memory if cuda else total_memory()
    fitting = int(total * MEMORY_SHARE / extractor.memory)
    largest = LARGEST_BATCH if cuda else LARGEST_BATCH // 16  # larger batches are no faster on a CPU
    return max(1, min(largest, 1 << max(fitting.bit_length() - 1, 0)))


def total_memory() -> int:
    """Memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cache_key(extractor: Extractor, device: torch.device) -> list[Any]:
    """Everything but the images that features depend on; device and batch size change their rounding."""
    facts = [extractor.name, extractor.sha256, extractor.dims, extractor.preprocessing, extractor.options]
    return [*facts, device.type, batch_size(extractor, device)]


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def cached_features(outputs: Path, key: Mapping[str, Any], batches: Callable[[], Iterable[Tensor]], n: int) -> Features:
    """(n, D) features as a memory map, from ``outputs/cache/features``; computed by ``batches`` if they are missing.

    Args:
        key: everything the features depend on; the name of the file is its hash.
        batches: yields (k, D) float32 tensors, n rows in total.
    """

    def write(file: BinaryIO) -> None:
        written, dims = 0, 0
        for part in batches():
            if not written:
                dims = part.shape[1]
                header = {"descr": "<f4", "fortran_order": False, "shape": (n, dims)}
                np.lib.format.write_array_header_1_0(file, header)
            if part.shape[1] != dims:
                raise LabError(
                    f"features have {dims} and {part.shape[1]} dimensions; all images must give the same number"
                )
            file.write(np.ascontiguousarray(part.numpy(), "<f4").tobytes())
            written += len(part)
        assert written == n, "one row per image"

    return _cached(outputs, key, ".npy", write, lambda path: np.load(path, mmap_mode="r", allow_pickle=False))


def cached_moments(outputs: Path, key: Mapping[str, Any], measure: Callable[[], Sequence[Moments]]) -> list[Moments]:
    """Like ``cached_features``, for means and covariances."""

    def write(file: BinaryIO) -> None:
        moments = measure()
        arrays = {
            "n": np.array([part.n for part in moments]),
            "mean": np.stack([part.mean for part in moments]),
            "scatter": np.stack([part.scatter for part in moments]),
        }
        np.savez(file, allow_pickle=False, **arrays)

    def read(path: Path) -> list[Moments]:
        with np.load(path, allow_pickle=False) as saved:
            stored = zip(saved["n"].tolist(), saved["mean"], saved["scatter"], strict=True)
            return [Moments(n, mean, scatter) for n, mean, scatter in stored]

    return _cached(outputs, key, ".npz", write, read)


def _cached(
    outputs: Path, key: Mapping[str, Any], suffix: str, write: Callable[[BinaryIO], None], read: Callable[[Path], T]
) -> T:
    """Read the file of ``key``; written first if it is missing. Raises LabError when it is damaged."""
    name = files.canonical_hash({**key, "version": VERSION})[:16]
    path = files.make_once(outputs / "cache" / "features" / f"{name}{suffix}", write)
    try:
        return read(path)
    except Exception as error:
        raise LabError(f"{path}: cannot be read ({one_line(error)}); delete it to recompute it") from None
