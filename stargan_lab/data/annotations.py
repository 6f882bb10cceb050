"""CelebA's text files: attributes and the official partition; and the two ways to split.

What is wrong with a list goes to a ``Complain``: training stops at the first flaw or leaves flawed rows out, a check
collects them all, and all read on by the very same code.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stargan_lab.errors import ConfigError, DataError, unknown

SPLITS = ("train", "valid", "test")
Split = Literal["official", "reference"]
ATTRIBUTE_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
_REFERENCE_TEST = 1_999  # the reference's `i + 1 < 2000`

CELEBA_ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
"""CelebA's own forty, in its order."""

BLANK = "blank lines"
WRONG_NUMBER = "rows with a wrong number of values"
WRONG_VALUE = "values other than 1, -1 and 0"
TWICE = "files listed twice"
NO_PART = "lines that are no file name and split"
WITHOUT_SPLIT = "files without a split"
ROW_FLAWS = (BLANK, WRONG_NUMBER, WRONG_VALUE, TWICE, NO_PART, WITHOUT_SPLIT)
"""Kinds of flaws of which each concerns one row, without which a list can be read."""

Complain = Callable[[str, Path, str], None]
"""Is told of a flaw: its kind (a plural: "blank lines"), the file or folder, and what is wrong where in it."""


def refuse(kind: str, path: Path, flaw: str) -> None:
    """The ``Complain`` of training: the first flaw is an error. Raises DataError."""
    raise DataError(f"{path}: {flaw}")


@dataclass(frozen=True)
class AttributeList:
    """``attributes`` A names; ``files`` n names; ``values`` (n, A) uint8 of 0 and 1."""

    path: Path
    attributes: tuple[str, ...]
    files: tuple[str, ...]
    values: np.ndarray

    def columns(self, selected: Sequence[str]) -> np.ndarray:
        """(n, len(selected)) float32. Raises ConfigError that names the nearest attribute of the file."""
        for name in selected:
            if name not in self.attributes:
                raise ConfigError(f"{self.path}: {unknown('attribute', name, self.attributes)}")
        return self.values[:, [self.attributes.index(name) for name in selected]].astype(np.float32)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without those blank ones it ends with. Raises DataError that names it."""
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: the file is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def read_attributes(path: Path, complain: Complain = refuse) -> AttributeList:
    """Read line 1 the count (unused), line 2 the names, then ``file 1 -1 …``.

    Args:
        complain: is told of a blank line, a wrong number of values, a value other than 1, -1, 0, a file listed twice;
            where it returns, that line is left out.
    Raises:
        DataError: the file is missing or has no image; whatever ``complain`` raises.
    """
    lines = read_lines(path)
    if len(lines) < 3:
        raise DataError(f"{path}: expected a count, a line of attribute names and at least one image")
    attributes = tuple(lines[1].split())
    rows: dict[str, int] = {}  # file name -> line
    values = np.empty((len(lines) - 2, len(attributes)), dtype=np.uint8)
    for number, line in enumerate(lines[2:], start=3):
        fields = line.split()
        if flaw := _flaw(fields, len(attributes), rows):
            complain(flaw[0], path, f"line {number}{flaw[1]}")
            continue
        values[len(rows)] = [field == "1" for field in fields[1:]]
        rows[fields[0]] = number
    return AttributeList(path, attributes, tuple(rows), values[: len(rows)])


def _flaw(fields: Sequence[str], attributes: int, rows: dict[str, int]) -> tuple[str, str] | None:
    """The kind of flaw of a row and the end of the sentence "line 5 …"; None: it is sound."""
    if not fields:
        return BLANK, " is blank"
    if len(fields) != attributes + 1:
        return WRONG_NUMBER, f": {len(fields) - 1} values for {attributes} attributes"
    if odd := [field for field in fields[1:] if field not in ("1", "-1", "0")]:
        return WRONG_VALUE, f": expected 1 or -1 for {fields[0]}, got {odd[0]!r}"
    if fields[0] in rows:
        return TWICE, f": {fields[0]} is listed twice, in line {rows[fields[0]]} already"
    return None


def read_partition(path: Path, complain: Complain = refuse) -> dict[str, int]:
    """File name -> 0 train, 1 valid, 2 test.

    Args:
        complain: is told of every line that says something else, or says it twice; where it returns, that is left out.
    """
    parts: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            kind = NO_PART if fields else BLANK
            complain(kind, path, f"line {number}: expected a file name and 0, 1 or 2, got {line.strip()!r}")
        elif fields[0] in parts:
            complain(TWICE, path, f"line {number}: {fields[0]} is listed twice")
        else:
            parts[fields[0]] = int(fields[1])
    return parts


def split_rows(listed: AttributeList, how: Split, complain: Complain = refuse) -> dict[str, list[int]]:
    """The rows of each split, in the order they are served; a split without images is left out.

    Args:
        complain: is told where a list cannot be split so; where it returns, all of it counts as train.
    """
    rows = _reference(listed, complain) if how == "reference" else _official(listed, complain)
    return {which: found for which, found in rows.items() if found}


def _official(listed: AttributeList, complain: Complain) -> dict[str, list[int]]:
    path = listed.path.parent / PARTITION_FILE
    if not path.exists():
        complain("missing lists", path, "the file is missing; split=reference does without")
        return {"train": list(range(len(listed.files)))}
    parts = read_partition(path, complain)
    rows: dict[str, list[int]] = {which: [] for which in SPLITS}
    for row, name in enumerate(listed.files):
        if name in parts:
            rows[SPLITS[parts[name]]].append(row)
        else:
            complain(WITHOUT_SPLIT, path, f"no line for {name}, which {listed.path.name} lists")
    return rows


def _reference(listed: AttributeList, complain: Complain) -> dict[str, list[int]]:
    """The reference's split: shuffled by Python's generator from seed 1234, the first 1,999 test, the rest train."""
    rows = list(range(len(listed.files)))
    if len(rows) <= _REFERENCE_TEST:
        short = (
            f"split=reference takes {_REFERENCE_TEST:,} test images and needs at least {_REFERENCE_TEST + 1:,},"
            f" got {len(rows):,}; use split=official"
        )
        complain("lists too short", listed.path, short)
        return {"train": rows}
    random.Random(1234).shuffle(rows)
    return {"train": rows[_REFERENCE_TEST:], "test": rows[:_REFERENCE_TEST]}
