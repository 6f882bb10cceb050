"""Random numbers as pure functions of names, independent of earlier draws and of the process."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_for(*parts: object) -> int:
    """A 63-bit seed from any printable parts, e.g. ``seed_for(seed, "alpha", step)``; equal on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: object) -> torch.Generator:
    """A new CPU generator seeded with ``seed_for``."""
    return torch.Generator().manual_seed(seed_for(*parts))


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute with ``count`` CPU threads. Their number sets the order of summation, and so the last bits of results."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
