"""Features of many images: taken in batches that fit the memory, kept on disk, and summed up as they come.

Shapes: n images, D feature dimensions.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargan_lab import files
from stargan_lab.errors import LabError
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.frechet import Moments

Features = NDArray[np.float32]
T = TypeVar("T")

LARGEST_BATCH = 128
LARGEST_DIMS = 16384
"""Features of an image, whose covariance is 2 GiB."""
MEMORY_SHARE = 0.25
"""Of the device's whole memory, not of what is free now: the batch, and with it the last digit, is to stay the same."""
VERSION = 3
"""Of what the cached files hold."""


class Collected:
    """Features that come batch by batch: mean and covariance in memory, the features in a temporary file.

    Args:
        folder: where the file is; it has no name there, so nothing is left of it whatever happens.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (as long as this object)
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

    @property
    def moments(self) -> Moments:
        """Raises LabError when nothing was added."""
        if self._moments is None:
            raise LabError("no images, so no features")
        return self._moments

    @property
    def rows(self) -> Features:
        """(n, D), a memory map."""
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(len(self), len(self.moments.mean)))


def batch_size(extractor: Extractor, device: torch.device) -> int:
    """How many images to take at once: a power of two of which a quarter of the device's memory holds the work."""
    if extractor.memory <= 0:
        return LARGEST_BATCH
    cuda = device.type == "cuda"
    total = torch.cuda.get_device_properties(device).total_memory if cuda else whole_memory()
    fitting = int(total * MEMORY_SHARE / extractor.memory)
    largest = LARGEST_BATCH if cuda else LARGEST_BATCH // 16  # a CPU gains nothing by more
    return max(1, min(largest, 1 << max(fitting.bit_length() - 1, 0)))


def whole_memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def key_of(extractor: Extractor, device: torch.device) -> list[Any]:
    """What features depend on beside the images; device and batch move their last digit."""
    facts = [extractor.name, extractor.sha256, extractor.dims, extractor.preprocessing]
    return [*facts, device.type, batch_size(extractor, device)]


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def kept_features(outputs: Path, key: Mapping[str, Any], batches: Callable[[], Iterable[Tensor]], n: int) -> Features:
    """The (n, D) features that ``batches`` makes, from ``outputs/cache/features``; made first where they are not there.

    Args:
        key: everything the features depend on. Equal keys meet the same file, others never do.
        batches: yields (k, D) float32 tensors, n rows in all.
    Returns:
        A memory map. Of several processes that ask at once one makes it and the others wait.
    """

    def write(file: BinaryIO) -> None:
        written, dims = 0, 0
        for part in batches():
            if not written:
                dims = part.shape[1]
                header = {"descr": "<f4", "fortran_order": False, "shape": (n, dims)}
                np.lib.format.write_array_header_1_0(file, header)
            if part.shape[1] != dims:
                raise LabError(f"features of {dims} and of {part.shape[1]} dimensions; all images need as many")
            file.write(np.ascontiguousarray(part.numpy(), "<f4").tobytes())
            written += len(part)
        assert written == n, "a row for each image"

    def read(path: Path) -> Features:
        found: Features = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    found: Features = _kept(outputs, key, ".npy", write, read)
    return found


def kept_moments(outputs: Path, key: Mapping[str, Any], measure: Callable[[], Sequence[Moments]]) -> list[Moments]:
    """As ``kept_features`` for means and covariances."""

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

    found: list[Moments] = _kept(outputs, key, ".npz", write, read)
    return found


def _kept(
    outputs: Path,
    key: Mapping[str, Any],
    suffix: str,
    write: Callable[[BinaryIO], None],
    read: Callable[[Path], Any],
) -> Any:
    """What ``read`` finds in the file of ``key``, which ``write`` makes where it is not there."""
    name = files.canonical_hash({**key, "version": VERSION})[:16]
    path = outputs / "cache" / "features" / f"{name}{suffix}"
    if not path.exists():
        with files.locked(path.with_name(f"{path.name}.lock")):
            if not path.exists():
                files.write_atomically(path, write)
    try:
        return read(path)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise LabError(f"{path}: cannot be read ({reason}); delete it, and it is made anew") from None
