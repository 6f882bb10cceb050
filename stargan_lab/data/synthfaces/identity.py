"""SynthFaces labels and identity factors, each a pure function of (seed, identity, name).

Every factor has a separate random stream, so adding a factor or attribute does not change the others. RULE: no identity
factor may be visible only for one value of an attribute or one expression; otherwise the ground truth could not be
inferred from the input image. Hair length, lips, stubble, ears, wrinkles and glasses therefore depend only on
attributes and on factors that are always visible.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stargan_lab.errors import ConfigError, DataError, unknown

Floats = NDArray[np.float32]
Form = Literal["celeba", "rafd"]
Kind = Literal["shape", "texture", "both"]

EXCLUSIVE: tuple[tuple[str, ...], ...] = (("Black_Hair", "Blond_Hair", "Brown_Hair"),)
"""Mutually exclusive attributes; each member of a group, and none of them, are equally likely."""
FREE: dict[str, float] = {"Male": 0.5, "Young": 0.5, "Oval_Face": 0.5}
"""Attributes outside any group that vary in every dataset, with their probability."""
KIND: dict[str, Kind] = {
    "Bangs": "shape", "Big_Nose": "shape", "Black_Hair": "texture", "Blond_Hair": "texture", "Brown_Hair": "texture",
    "Bushy_Eyebrows": "shape", "Eyeglasses": "shape", "Male": "both", "Oval_Face": "shape", "Pale_Skin": "texture",
    "Rosy_Cheeks": "texture", "Smiling": "shape", "Wearing_Lipstick": "texture", "Young": "texture",
}  # fmt: skip
"""Whether an attribute changes outlines or only colors within them (Young: skin color and wrinkles)."""
ATTRIBUTES: tuple[str, ...] = tuple(sorted(KIND))
"""All attributes, named as in CelebA."""
CORE: tuple[str, ...] = tuple(sorted([name for group in EXCLUSIVE for name in group] + list(FREE)))
"""Attributes that vary in every dataset."""
OPTIONAL: tuple[str, ...] = tuple(name for name in ATTRIBUTES if name not in CORE)
"""Attributes that vary, with probability 1/2, only in datasets that select them; no face in other datasets has them."""
EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
"""RaFD's classes; a face has exactly one."""
LABELS: tuple[str, ...] = (*ATTRIBUTES, *EXPRESSIONS)

FACTORS: tuple[str, ...] = (
    "skin", "blush", "eye_colour", "eye_spacing", "eye_size", "brow_height", "brow_slant", "face_width", "nose_width",
    "nose_length", "mouth_width", "mouth_height", "mouth_curve", "hair_shade", "hair_volume", "hairline", "parting",
    "clothes_red", "clothes_green", "clothes_blue", "background_red", "background_green", "background_blue",
    "gradient_x", "gradient_y", "stripe_x", "stripe_y", "stripe_phase", "light", "warmth", "light_side",
    "shift_x", "shift_y",
)  # fmt: skip
"""Identity factors, each uniform in [0, 1)."""


@dataclass(frozen=True)
class Faces:
    """n faces.

    Attributes:
        factors: (n,) each, in [0, 1).
        labels: (n,) each, 0 or 1: every attribute and, one-hot, every expression. Smiling is 1 for any smiling mouth,
            and therefore for ``happy``, unless it was cleared.
        difficulty: the dataset's difficulty, in [0, 1].
    """

    factors: dict[str, Floats]
    labels: dict[str, Floats]
    difficulty: float

    def __len__(self) -> int:
        return len(self.factors[FACTORS[0]])

    @property
    def expressions(self) -> list[str]:
        """The expression of each face."""
        return [EXPRESSIONS[i] for i in np.argmax([self.labels[name] for name in EXPRESSIONS], axis=0)]

    def part(self, rows: slice) -> "Faces":
        factors, labels = ({name: v[rows] for name, v in each.items()} for each in (self.factors, self.labels))
        return Faces(factors, labels, self.difficulty)


def sample(
    seed: int, identities: Sequence[int], difficulty: float, *, form: Form = "celeba", vary: Iterable[str] = ()
) -> Faces:
    """The faces of ``identities``; each depends only on the seed and its number.

    Args:
        form: ``celeba``: all neutral; ``rafd``: numbers 8k … 8k + 7 have each expression once, in random order.
        vary: the optional attributes to sample; adding one changes nothing else.
    """
    numbers = np.asarray(identities, dtype=np.uint64)
    chance = FREE | {name: 0.5 for name in vary}
    labels = {name: np.zeros(len(numbers), dtype=np.float32) for name in LABELS}
    labels |= {name: (uniform(seed, numbers, name) < p).astype(np.float32) for name, p in chance.items()}
    for group in EXCLUSIVE:
        choice = np.floor(uniform(seed, numbers, "|".join(group)) * (len(group) + 1))
        labels |= {name: (choice == i).astype(np.float32) for i, name in enumerate(group)}
    if form == "rafd":
        rank = _rank_in_block(seed, numbers, "expression", len(EXPRESSIONS))
        labels |= {name: (rank == i).astype(np.float32) for i, name in enumerate(EXPRESSIONS)}
        labels["Smiling"] = labels["happy"]
    else:
        labels["neutral"] = np.ones(len(numbers), dtype=np.float32)
    factors = {name: uniform(seed, numbers, name) for name in FACTORS}
    return Faces(factors, labels, float(difficulty))


def uniform(seed: int, identities: NDArray[np.uint64], name: str) -> Floats:
    """(n,) float32 in [0, 1) from the stream ``name``: SplitMix64 (Steele et al. 2014), exact integer arithmetic."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    state = np.uint64(int.from_bytes(digest, "little")) + identities * np.uint64(0x9E3779B97F4A7C15)
    bits = _mix(_mix(state) + np.uint64(0x9E3779B97F4A7C15))
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def relabel(faces: Faces, names: Sequence[str], labels: NDArray[np.float32]) -> Faces:
    """The same faces with other labels.

    Labels not in ``names`` keep their value, with three exceptions: setting a hair color clears the others, setting an
    expression clears the others, and an expression determines the mouth and therefore Smiling (except that with neutral
    Smiling is taken from ``labels`` if it is in ``names``). A row that sets no expression keeps the current one.

    Args:
        names: columns of ``labels``.
        labels: (n, len(names)) of 0 and 1.
    Raises:
        ConfigError: a name is not in ``LABELS``.
        DataError: wrong shape or values, or a row sets two mutually exclusive labels.
    """
    check_labels(names)
    if labels.shape != (len(faces), len(names)):
        raise DataError(f"expected labels of shape {(len(faces), len(names))}, got {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise DataError("expected labels of 0 and 1")
    current = faces.labels
    requested = {name: np.ascontiguousarray(labels[:, i], dtype=np.float32) for i, name in enumerate(names)}
    new = current | requested
    for group in EXCLUSIVE:
        unset = 1 - _any_set(group, requested, len(faces))
        new |= {name: current[name] * unset for name in group if name not in requested}
    changed = _any_set(EXPRESSIONS, requested, len(faces))
    new |= {name: requested.get(name, np.float32(0)) + (1 - changed) * current[name] for name in EXPRESSIONS}
    smile = new["happy"] + new["neutral"] * requested.get("Smiling", np.float32(0))
    new["Smiling"] = changed * smile + (1 - changed) * new["Smiling"]
    return Faces(faces.factors, {name: new[name].astype(np.float32) for name in LABELS}, faces.difficulty)


def check_labels(names: Sequence[str], allowed: Sequence[str] = LABELS, what: str = "label") -> None:
    """Raises ConfigError for a duplicate name or one not in ``allowed``."""
    for name in names:
        if name not in allowed:
            raise ConfigError(f"synthfaces: {unknown(what, name, allowed)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"synthfaces: duplicate {what} in {', '.join(names)}")


def _any_set(group: Sequence[str], requested: dict[str, Floats], count: int) -> Floats:
    """(count,) 0 or 1: whether a row sets a label of ``group``. Raises DataError when it sets two."""
    names = [name for name in group if name in requested]
    total = sum((requested[name] for name in names), start=np.zeros(count, dtype=np.float32))
    if (total > 1).any():
        raise DataError(f"a face has at most one of {', '.join(names)}; got two")
    return total


def _rank_in_block(seed: int, numbers: NDArray[np.uint64], name: str, size: int) -> NDArray[np.intp]:
    """(n,) in 0 … size - 1: the rank of each number's random value within its block of ``size`` consecutive numbers."""
    steps = np.arange(size, dtype=np.uint64)
    index = numbers % np.uint64(size)
    values = uniform(seed, (numbers - index)[:, None] + steps, name)
    value = np.take_along_axis(values, index[:, None].astype(np.intp), axis=1)
    return ((values < value) | ((values == value) & (steps < index[:, None]))).sum(axis=1)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
