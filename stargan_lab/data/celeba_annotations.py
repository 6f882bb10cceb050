"""CelebA's annotation files (attributes and official partition) and the two ways to split the images."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stargan_lab.data.options import SPLITS, Split
from stargan_lab.data.problems import (
    BLANK,
    DUPLICATE,
    MALFORMED,
    NO_SPLIT,
    OUTSIDE,
    WRONG_COUNT,
    WRONG_VALUE,
    ProblemHandler,
    raise_problem,
)
from stargan_lab.errors import ConfigError, DataError, unknown

ATTRIBUTE_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
WRITE_PARTITION = "write a line `FILE 0`, `FILE 1` or `FILE 2` (train, valid, test) for each image"
_REFERENCE_TEST = 1_999  # the reference's `i + 1 < 2000`

CELEBA_ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
"""CelebA's 40 attributes, in file order."""


@dataclass(frozen=True)
class AttributeList:
    """``attributes``: A names; ``files``: n names; ``values``: (n, A) uint8 of 0 and 1."""

    path: Path
    attributes: tuple[str, ...]
    files: tuple[str, ...]
    values: np.ndarray

    def columns(self, selected: Sequence[str]) -> np.ndarray:
        """(n, len(selected)) float32. Raises ConfigError for an attribute that is not in the file."""
        for name in selected:
            if name not in self.attributes:
                raise ConfigError(f"{self.path}: {unknown('attribute', name, self.attributes)}")
        return self.values[:, [self.attributes.index(name) for name in selected]].astype(np.float32)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without trailing blank lines. Raises DataError when it cannot be read."""
    try:
        return path.read_text().rstrip().split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None


class AttributeFile(NamedTuple):
    """An attribute file, unchecked: line 1, the A names in line 2, and the fields of every further line."""

    total: str
    attributes: tuple[str, ...]
    rows: list[list[str]]


def split_attribute_file(path: Path) -> AttributeFile:
    """The parts of an attribute file. Raises DataError: the file is missing or lists no images."""
    lines = read_lines(path)
    if len(lines) < 3:
        raise DataError(f"{path}: expected a count, a line of attribute names and at least one image")
    return AttributeFile(lines[0].strip(), tuple(lines[1].split()), [line.split() for line in lines[2:]])


def read_attributes(path: Path, on_problem: ProblemHandler = raise_problem) -> AttributeList:
    """Read an attribute file: line 1 the count (ignored), line 2 the names, then ``file 1 -1 …``.

    Args:
        on_problem: called for each invalid row, which is then skipped.
    Raises:
        DataError: the file is missing or lists no images; also whatever ``on_problem`` raises.
    """
    _, attributes, lines = split_attribute_file(path)
    rows: dict[str, int] = {}  # file name -> line number
    values = np.empty((len(lines), len(attributes)), dtype=np.uint8)
    for number, fields in enumerate(lines, start=3):
        if problem := _row_problem(fields, len(attributes), rows):
            on_problem(problem[0], path, f"line {number}{problem[1]}")
            continue
        values[len(rows)] = [field == "1" for field in fields[1:]]
        rows[fields[0]] = number
    return AttributeList(path, attributes, tuple(rows), values[: len(rows)])


def _row_problem(fields: Sequence[str], attributes: int, rows: dict[str, int]) -> tuple[str, str] | None:
    """The kind of problem in a row and its description, to follow "line 5"; None for a valid row."""
    if not fields:
        return BLANK, " is blank"
    if len(fields) != attributes + 1:
        return WRONG_COUNT, f": {len(fields) - 1} values for {attributes} attributes"
    if fields[0].startswith("/") or {".", ".."} & set(fields[0].split("/")):
        return OUTSIDE, f": {fields[0]!r} is not a file name in the directory of images"
    if bad := [field for field in fields[1:] if field not in ("1", "-1", "0")]:
        return WRONG_VALUE, f": expected 1 or -1 for {fields[0]}, got {bad[0]!r}"
    if fields[0] in rows:
        return DUPLICATE, f": {fields[0]} is already listed in line {rows[fields[0]]}"
    return None


def read_partition(path: Path, on_problem: ProblemHandler = raise_problem) -> dict[str, int]:
    """File name -> 0 train, 1 valid, 2 test. Passes malformed and duplicate lines to ``on_problem`` and skips them."""
    parts: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            kind = MALFORMED if fields else BLANK
            on_problem(kind, path, f"line {number}: expected a file name and 0, 1 or 2, got {line.strip()!r}")
        elif fields[0] in parts:
            on_problem(DUPLICATE, path, f"line {number}: {fields[0]} is listed twice")
        else:
            parts[fields[0]] = int(fields[1])
    return parts


def split_rows(listed: AttributeList, how: Split, on_problem: ProblemHandler = raise_problem) -> dict[str, list[int]]:
    """The rows of each split, in order, without empty splits.

    Args:
        on_problem: called when the files cannot be split this way; if it returns, all files are train.
    """
    rows = _reference_split(listed, on_problem) if how == "reference" else _official_split(listed, on_problem)
    return {which: indices for which, indices in rows.items() if indices}


def _official_split(listed: AttributeList, on_problem: ProblemHandler) -> dict[str, list[int]]:
    path = listed.path.parent / PARTITION_FILE
    if not path.exists():
        on_problem("missing annotation files", path, f"no such file; {_without_partition(len(listed.files))}")
        return {"train": list(range(len(listed.files)))}
    parts = read_partition(path, on_problem)
    rows: dict[str, list[int]] = {which: [] for which in SPLITS}
    for row, name in enumerate(listed.files):
        if name in parts:
            rows[SPLITS[parts[name]]].append(row)
        else:
            on_problem(NO_SPLIT, path, f"no line for {name}, which is in {listed.path.name}")
    return rows


def _without_partition(images: int) -> str:
    """What to do without a partition file: the reference's split needs none, but many images."""
    return WRITE_PARTITION + (", or set split=reference to split without it" if images > _REFERENCE_TEST else "")


def _reference_split(listed: AttributeList, on_problem: ProblemHandler) -> dict[str, list[int]]:
    """The reference's split: shuffled by Python's generator with seed 1234, the first 1,999 for test, no valid."""
    rows = list(range(len(listed.files)))
    if len(rows) <= _REFERENCE_TEST:
        problem = (
            f"split=reference needs at least {_REFERENCE_TEST + 1:,} images ({_REFERENCE_TEST:,} of them for test),"
            f" got {len(rows):,}"
        )
        path = listed.path.parent / PARTITION_FILE
        fix = "set split=official" if path.exists() else f"{WRITE_PARTITION} to {path} and set split=official"
        on_problem("datasets too small to split", listed.path, f"{problem}; {fix}")
        return {"train": rows}
    random.Random(1234).shuffle(rows)
    return {"train": rows[_REFERENCE_TEST:], "test": rows[:_REFERENCE_TEST]}
