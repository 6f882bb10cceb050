"""SynthFaces, what is drawn: factors of identity, attributes, expression, pure functions of (seed, identity, name).

Every factor has a stream of its own, so a new factor or attribute leaves the others as they are. RULE: nothing of an
identity may be visible only under one value of an attribute or one expression, else the ground truth to a translation
could not be inferred from the picture. So hair length, lips, stubble, ears, wrinkles and glasses follow from attributes
and from factors that always show.
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
"""Groups of which one or none holds, all cases equally likely."""
FREE: dict[str, float] = {"Male": 0.5, "Young": 0.5, "Oval_Face": 0.5}
"""Attributes drawn alone in every dataset, with their probability."""
KIND: dict[str, Kind] = {
    "Bangs": "shape", "Big_Nose": "shape", "Black_Hair": "texture", "Blond_Hair": "texture", "Brown_Hair": "texture",
    "Bushy_Eyebrows": "shape", "Eyeglasses": "shape", "Male": "both", "Oval_Face": "shape", "Pale_Skin": "texture",
    "Rosy_Cheeks": "texture", "Smiling": "shape", "Wearing_Lipstick": "texture", "Young": "texture",
}  # fmt: skip
"""Whether an attribute moves outlines or only changes colours within them (Young: skin colour and wrinkles)."""
ATTRIBUTES: tuple[str, ...] = tuple(sorted(KIND))
"""All attributes, by CelebA's names."""
CORE: tuple[str, ...] = tuple(sorted([name for group in EXCLUSIVE for name in group] + list(FREE)))
"""Those that vary in every dataset."""
OPTIONAL: tuple[str, ...] = tuple(name for name in ATTRIBUTES if name not in CORE)
"""Those that vary where a dataset asks for it, each with probability 1/2, and are absent elsewhere."""
EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
"""RaFD's classes; a face has one."""
LABELS: tuple[str, ...] = (*ATTRIBUTES, *EXPRESSIONS)

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
    """n faces: ``factors`` (n,) each in [0, 1), ``labels`` (n,) each 0 or 1, the set's difficulty in [0, 1].

    ``labels`` holds every attribute and, one-hot, every expression. Smiling holds whatever makes the mouth smile, so
    it holds under ``happy`` unless taken away.
    """

    factors: dict[str, Floats]
    labels: dict[str, Floats]
    difficulty: float

    def __len__(self) -> int:
        return len(self.factors[FACTORS[0]])

    def part(self, rows: slice) -> "Faces":
        return Faces(
            {name: values[rows] for name, values in self.factors.items()},
            {name: values[rows] for name, values in self.labels.items()},
            self.difficulty,
        )


def sample(
    seed: int, identities: Sequence[int], difficulty: float, *, form: Form = "celeba", vary: Iterable[str] = ()
) -> Faces:
    """The faces of ``identities``; a face depends on the seed and its own number alone.

    Args:
        form: ``celeba``: expressions are neutral; ``rafd``: one of eight, all of them in any eight numbers 8k … 8k + 7.
        vary: the optional attributes that are drawn; one more leaves everything else of a face as it is.
    """
    numbers = np.asarray(identities, dtype=np.uint64)
    chance = FREE | {name: 0.5 for name in vary}
    labels = {name: np.zeros(len(numbers), dtype=np.float32) for name in LABELS}
    labels |= {name: (uniform(seed, numbers, name) < p).astype(np.float32) for name, p in chance.items()}
    for group in EXCLUSIVE:
        choice = np.floor(uniform(seed, numbers, "|".join(group)) * (len(group) + 1))
        labels |= {name: (choice == i).astype(np.float32) for i, name in enumerate(group)}
    if form == "rafd":
        place = _place_in_block(seed, numbers, "expression", len(EXPRESSIONS))
        labels |= {name: (place == i).astype(np.float32) for i, name in enumerate(EXPRESSIONS)}
        labels["Smiling"] = labels["happy"]
    else:
        labels["neutral"] = np.ones(len(numbers), dtype=np.float32)
    factors = {name: uniform(seed, numbers, name) for name in FACTORS}
    return Faces(factors, labels, float(difficulty))


def uniform(seed: int, identities: NDArray[np.uint64], name: str) -> Floats:
    """(n,) float32 in [0, 1) from the stream ``name``: SplitMix64 (Steele et al. 2014), in integers, so exact."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    state = np.uint64(int.from_bytes(digest, "little")) + identities * np.uint64(0x9E3779B97F4A7C15)
    bits = _mix(_mix(state) + np.uint64(0x9E3779B97F4A7C15))
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def relabel(faces: Faces, names: Sequence[str], labels: NDArray[np.float32]) -> Faces:
    """The same faces with other labels.

    A cleared hair colour leaves "none of these"; a face's own one that is not among ``names`` stays, unless another is
    set. A row that sets no expression keeps its own. An expression says all about the mouth, so Smiling follows from
    it; only a neutral one leaves it to Smiling, where that is asked for too.

    Args:
        names: the labels that ``labels`` speaks of; the others stay as they are.
        labels: (n, len(names)) of 0 and 1.
    Raises:
        ConfigError: one of ``names`` is none of ``LABELS``.
        DataError: other values or another shape; a row sets two labels that exclude each other.
    """
    check_labels(names)
    if labels.shape != (len(faces), len(names)) or not np.isin(labels, (0, 1)).all():
        raise DataError(f"labels of {len(names)} names and {len(faces)} faces: expected that many of 0 and 1")
    own = faces.labels
    asked = {name: np.ascontiguousarray(labels[:, i], dtype=np.float32) for i, name in enumerate(names)}
    new = own | asked
    for group in EXCLUSIVE:
        unset = 1 - _set_in(group, asked, len(faces))
        new |= {name: own[name] * unset for name in group if name not in asked}
    shown = _set_in(EXPRESSIONS, asked, len(faces))
    new |= {name: asked.get(name, np.float32(0)) + (1 - shown) * own[name] for name in EXPRESSIONS}
    smile = new["happy"] + new["neutral"] * asked.get("Smiling", np.float32(0))
    new["Smiling"] = shown * smile + (1 - shown) * new["Smiling"]
    return Faces(faces.factors, {name: new[name].astype(np.float32) for name in LABELS}, faces.difficulty)


def check_labels(names: Sequence[str], allowed: Sequence[str] = LABELS, what: str = "label") -> None:
    """Raises ConfigError for a name that is not ``allowed``, with the nearest one, or one that comes twice."""
    for name in names:
        if name not in allowed:
            raise ConfigError(f"synthfaces: {unknown(what, name, allowed)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"synthfaces: expected different {what}s, got {', '.join(names)}")


def _set_in(group: Sequence[str], asked: dict[str, Floats], count: int) -> Floats:
    """(count,) 0 or 1: whether a row sets one of ``group``."""
    chosen = [name for name in group if name in asked]
    total = sum((asked[name] for name in chosen), start=np.zeros(count, dtype=np.float32))
    if (total > 1).any():
        raise DataError(f"no face can be drawn with two of {', '.join(chosen)} at once")
    return total


def _place_in_block(seed: int, numbers: NDArray[np.uint64], name: str, size: int) -> NDArray[np.intp]:
    """(n,) in 0 … size - 1, the rank of a number's own draw: each once in ``size`` numbers from a multiple of it on."""
    steps = np.arange(size, dtype=np.uint64)
    own = numbers % np.uint64(size)
    randomness = uniform(seed, (numbers - own)[:, None] + steps, name)
    mine = np.take_along_axis(randomness, own[:, None].astype(np.intp), axis=1)
    return ((randomness < mine) | ((randomness == mine) & (steps < own[:, None]))).sum(axis=1)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
