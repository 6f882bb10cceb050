"""SynthFaces, what is drawn: the factors of identity and the attributes, pure functions of (seed, identity, name).

Every factor has a stream of its own, so a new factor or attribute leaves the others as they are. RULE: nothing of an
identity may be visible only under one value of an attribute, else the right answer to a translation could not be
inferred from the picture. So hair length, lips, stubble, ears and wrinkles follow from attributes and from factors that
always show.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stargan_lab.errors import DataError

Floats = NDArray[np.float32]

EXCLUSIVE: tuple[tuple[str, ...], ...] = (("Black_Hair", "Blond_Hair", "Brown_Hair"),)
"""Groups of which one or none holds, all cases equally likely."""
FREE: dict[str, float] = {"Male": 0.5, "Young": 0.5, "Oval_Face": 0.5}
"""Attributes drawn alone, with their probability."""
ATTRIBUTES: tuple[str, ...] = tuple(sorted([name for group in EXCLUSIVE for name in group] + list(FREE)))

FACTORS: tuple[str, ...] = (
    "skin", "blush", "eye_colour", "eye_spacing", "eye_size", "brow_height", "brow_slant", "face_width", "nose_width",
    "nose_length", "mouth_width", "mouth_height", "mouth_curve", "hair_shade", "hair_volume", "hairline", "parting",
    "clothes_red", "clothes_green", "clothes_blue", "background_red", "background_green", "background_blue",
    "gradient_x", "gradient_y", "stripe_x", "stripe_y", "stripe_phase", "light", "warmth", "light_side",
    "shift_x", "shift_y",
)  # fmt: skip
"""Factors of identity, each uniform in [0, 1)."""


@dataclass(frozen=True)
class Faces:
    """n faces: ``factors`` (n,) each in [0, 1), ``attributes`` (n,) each 0 or 1, the set's difficulty in [0, 1]."""

    factors: dict[str, Floats]
    attributes: dict[str, Floats]
    difficulty: float

    def __len__(self) -> int:
        return len(self.factors[FACTORS[0]])

    def part(self, rows: slice) -> "Faces":
        return Faces(
            {name: values[rows] for name, values in self.factors.items()},
            {name: values[rows] for name, values in self.attributes.items()},
            self.difficulty,
        )


def sample(seed: int, identities: Sequence[int], difficulty: float) -> Faces:
    """The faces of ``identities``; a face depends on the seed and its own number alone."""
    numbers = np.asarray(identities, dtype=np.uint64)
    attributes = {name: (uniform(seed, numbers, name) < p).astype(np.float32) for name, p in FREE.items()}
    for group in EXCLUSIVE:
        choice = np.floor(uniform(seed, numbers, "|".join(group)) * (len(group) + 1))
        attributes |= {name: (choice == i).astype(np.float32) for i, name in enumerate(group)}
    factors = {name: uniform(seed, numbers, name) for name in FACTORS}
    return Faces(factors, {name: attributes[name] for name in ATTRIBUTES}, float(difficulty))


def uniform(seed: int, identities: NDArray[np.uint64], name: str) -> Floats:
    """(n,) float32 in [0, 1) from the stream ``name``: SplitMix64 (Steele et al. 2014), in integers, so exact."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    state = np.uint64(int.from_bytes(digest, "little")) + identities * np.uint64(0x9E3779B97F4A7C15)
    bits = _mix(_mix(state) + np.uint64(0x9E3779B97F4A7C15))
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def relabel(faces: Faces, names: Sequence[str], labels: NDArray[np.float32]) -> Faces:
    """The same faces with other values of some attributes.

    A cleared member of an exclusive group leaves "none of these"; a face's own member that is not among ``names``
    stays, unless another is set.

    Args:
        names: the attributes that ``labels`` speaks of; the others stay as they are.
        labels: (n, len(names)) of 0 and 1.
    Raises:
        DataError: a row sets two attributes of a group that exclude each other.
    """
    attributes = dict(faces.attributes)
    asked = {name: np.ascontiguousarray(labels[:, i], dtype=np.float32) for i, name in enumerate(names)}
    for group in EXCLUSIVE:
        chosen = [name for name in group if name in asked]
        count = sum((asked[name] for name in chosen), start=np.zeros(len(faces), dtype=np.float32))
        if (count > 1).any():
            raise DataError(f"no face can be drawn with two of {', '.join(chosen)} at once")
        for name in set(group) - set(chosen):
            asked[name] = attributes[name] * (1 - count)
    attributes |= asked
    return Faces(faces.factors, {name: attributes[name] for name in ATTRIBUTES}, faces.difficulty)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
