"""Batch order as a pure function of (seed, source, iteration).

A source's images form an endless sequence, one permutation per epoch; batches have constant size and may span epochs.
Random numbers are Philox's raw bits (Salmon et al. 2011), which do not depend on the version of NumPy.
"""

import hashlib
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSet
from stargan_lab.data.transforms import to_float
from stargan_lab.labels import Batch


def batch_indices(n: int, batch_size: int, seed: int, source: int, iteration: int) -> list[int]:
    """Indices, among ``n`` images, of the batch of an iteration, counted from 0."""
    start = batch_size * iteration
    indices: list[int] = []
    while len(indices) < batch_size:
        epoch, position = divmod(start + len(indices), n)
        indices += _order(source)(n, seed, epoch)[position : position + batch_size - len(indices)].tolist()
    return indices


def flips(batch_size: int, seed: int, source: int, iteration: int) -> Tensor:
    """(batch_size,) bool: the images of the batch to flip, each with probability 1/2."""
    return torch.from_numpy(_bits("flip", seed, source, iteration, batch_size) >> np.uint64(63) == 1)


def load_batch(
    images: ImageSet,
    source: int,
    batch_size: int,
    seed: int,
    iteration: int,
    flip: bool,
    rows: slice = slice(None),
) -> Batch:
    """The batch of an iteration, counted from 0: images (batch_size, 3, H, W) in [-1, 1] with their labels.

    Args:
        rows: loads only these images of the batch; the labels are always those of the whole batch.
    """
    indices = batch_indices(len(images), batch_size, seed, source, iteration)
    pixels = images.images(indices[rows])
    if flip:
        pixels = flip_some(pixels, flips(batch_size, seed, source, iteration)[rows])
    return Batch(to_float(pixels), images.labels[indices], source, rows)


def flip_some(images: Tensor, flipped: Tensor) -> Tensor:
    """A copy of (n, 3, H, W) uint8 ``images`` with the ``flipped`` ones, (n,) bool, mirrored left to right."""
    result, where = images.clone(), flipped.numpy()
    result.numpy()[where] = images.numpy()[where][..., ::-1]  # NumPy takes a fifth of the time of torch.flip
    return result


@cache
def _order(source: int) -> Callable[[int, int, int], np.ndarray]:
    """The permutations of a source. The last two are kept, since batches loaded at once may span two epochs."""

    @lru_cache(maxsize=2)
    def permutation(n: int, seed: int, epoch: int) -> np.ndarray:
        """(n,) int64; sorting 64-bit random numbers gives a uniform permutation."""
        return np.argsort(_bits("order", seed, source, epoch, n), kind="stable")

    return permutation


def _bits(purpose: str, seed: int, source: int, number: int, n: int) -> np.ndarray:
    """(n,) uint64 from the stream identified by the other arguments."""
    digest = hashlib.blake2b(f"{purpose}/{seed}/{source}/{number}".encode(), digest_size=16).digest()
    return np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(n)
