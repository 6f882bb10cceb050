"""The packed cache: every image of a split, cropped and resized, in one memory-mapped file.

It takes 3·S² bytes an image: all 202,599 of CelebA take 10.0 GB at 128 px. Reading a batch is then a copy of its rows.
Images are kept unflipped.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from stargan_lab import files
from stargan_lab.data.image_reader import each


class PackedSet:
    """One split: labels in memory, images from the packed file (an ``ImageSet``).

    Args:
        path: the packed file, (n, 3, S, S) uint8.
        names: n file names.
        labels: (n, A) float32 of 0 and 1.
    """

    def __init__(self, path: Path, names: Sequence[str], labels: Tensor) -> None:
        self.path = path
        self.names = names
        self.labels = labels

    def __len__(self) -> int:
        return len(self.names)

    def images(self, indices: Sequence[int]) -> Tensor:
        """(len(indices), 3, S, S) uint8."""
        return torch.from_numpy(self._pixels[np.asarray(indices, dtype=np.int64)])

    @cached_property
    def _pixels(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r")


def pack(path: Path, paths: Sequence[Path], read: Callable[[Path], np.ndarray], size: int, what: str) -> None:
    """Write the packed file unless it is there; under a lock, renamed into place when complete.

    Args:
        read: a file as (3, size, size) uint8.
        what: named by the progress bar.
    Raises:
        DataError: from ``read``; nothing is left behind.
    """
    if path.exists():
        return
    with files.locked(path.with_suffix(".lock")):
        if not path.exists():
            files.write_atomically(path, lambda file: _write(file, paths, read, size, what))


def _write(file: BinaryIO, paths: Sequence[Path], read: Callable[[Path], np.ndarray], size: int, what: str) -> None:
    shape = (len(paths), 3, size, size)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    for image in each(read, paths, what):
        file.write(image.tobytes())
