"""Seeds derived from names alone: independent of the process and of random numbers generated earlier."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_for(*parts: object) -> int:
    """A 63-bit seed from any printable parts, e.g. ``seed_for(seed, "alpha", step)``; the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: object) -> torch.Generator:
    """A new CPU generator seeded with ``seed_for``."""
    return torch.Generator().manual_seed(seed_for(*parts))


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Run with ``count`` CPU threads. Their number determines the summation order and thus the last bits of results."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
