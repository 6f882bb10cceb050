"""CelebA's text files: attributes and the official partition; and the two ways to split."""

import random
from collections.abc import Sequence
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


def read_attributes(path: Path) -> AttributeList:
    """Read line 1 the count (unused), line 2 the names, then ``file 1 -1 …``.

    Raises:
        DataError: missing, blank line, wrong number of columns or a value other than 1, -1, 0; names file and line.
    """
    lines = read_lines(path)
    if len(lines) < 3:
        raise DataError(f"{path}: expected a count, a line of attribute names and at least one image")
    attributes = tuple(lines[1].split())
    files, values = [], np.empty((len(lines) - 2, len(attributes)), dtype=np.uint8)
    for row, line in enumerate(lines[2:]):
        fields = line.split()
        where = f"{path}: line {row + 3}"
        if not fields:
            raise DataError(f"{where} is blank")
        if len(fields) != len(attributes) + 1:
            raise DataError(f"{where}: {len(fields) - 1} values for {len(attributes)} attributes")
        if odd := [field for field in fields[1:] if field not in ("1", "-1", "0")]:
            raise DataError(f"{where}: expected values of 1 and -1, got {odd[0]!r}")
        files.append(fields[0])
        values[row] = [field == "1" for field in fields[1:]]
    return AttributeList(path, attributes, tuple(files), values)


def read_partition(path: Path) -> dict[str, int]:
    """File name -> 0 train, 1 valid, 2 test. Raises DataError that names file and line."""
    parts: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise DataError(f"{path}: line {number}: expected a file name and 0, 1 or 2, got {line.strip()!r}")
        parts[fields[0]] = int(fields[1])
    return parts


def split_rows(listed: AttributeList, how: Split) -> dict[str, list[int]]:
    """The rows of each split, in the order they are served; a split without images is left out."""
    rows = _reference(listed) if how == "reference" else _official(listed)
    return {which: found for which, found in rows.items() if found}


def _official(listed: AttributeList) -> dict[str, list[int]]:
    path = listed.path.parent / PARTITION_FILE
    parts = read_partition(path)
    rows: dict[str, list[int]] = {which: [] for which in SPLITS}
    for row, name in enumerate(listed.files):
        if name not in parts:
            raise DataError(f"{path}: no line for {name}, which {listed.path.name} lists")
        rows[SPLITS[parts[name]]].append(row)
    return rows


def _reference(listed: AttributeList) -> dict[str, list[int]]:
    """The reference's split: shuffled by Python's generator from seed 1234, the first 1,999 test, the rest train."""
    if len(listed.files) <= _REFERENCE_TEST:
        raise DataError(
            f"{listed.path}: split=reference takes {_REFERENCE_TEST:,} test images and needs at least"
            f" {_REFERENCE_TEST + 1:,}, got {len(listed.files):,}; use split=official"
        )
    rows = list(range(len(listed.files)))
    random.Random(1234).shuffle(rows)
    return {"train": rows[_REFERENCE_TEST:], "test": rows[:_REFERENCE_TEST]}
