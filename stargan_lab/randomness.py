"""Random numbers as pure functions of names: nothing depends on what was drawn before, by whom, or in which process."""

import hashlib

import torch


def seed_for(*parts: object) -> int:
    """A 63-bit seed from any printable parts, e.g. ``seed_for(seed, "alpha", step)``; the same on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: object) -> torch.Generator:
    """A fresh CPU generator seeded by ``seed_for``."""
    return torch.Generator().manual_seed(seed_for(*parts))
