"""Look through a dataset in CelebA's form before training on it: what is there, what is broken, how balanced it is."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from stargan_lab.batch import ImageSource
from stargan_lab.data.celeba import IMAGE_FOLDERS, CelebASource
from stargan_lab.data.lists import ATTRIBUTE_FILE, PARTITION_FILE, SPLITS, read_lines
from stargan_lab.errors import DataError


@dataclass
class Report:
    """What ``check`` found.

    Attributes:
        images: rows of the attribute list.
        sizes, modes: how many images have each (width, height) and PIL mode.
        counts: images per split of the official partition; ``all`` is every one.
        balance: attribute -> split -> share of images that have it.
        problems: what keeps the dataset from being read as it should, one line each.
        notes: what is read well but worth knowing.
    """

    root: Path
    images: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    balance: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """A few lines for a person; the first ten problems."""
        lines = [f"{self.root}: {self.images:,} images, " + ", ".join(f"{k} {v:,}" for k, v in self.counts.items())]
        lines += ["sizes: " + ", ".join(f"{w}×{h} ({n:,})" for (w, h), n in self.sizes.most_common(5))]
        width = max((len(name) for name in self.balance), default=0)
        for name, shares in self.balance.items():
            lines.append(f"{name:<{width}}  " + "  ".join(f"{k} {v:6.1%}" for k, v in shares.items()))
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"problem: {problem}" for problem in self.problems[:10]]
        if len(self.problems) > 10:
            lines.append(f"… and {len(self.problems) - 10:,} more problems")
        return "\n".join(lines if self.problems else [*lines, "no problems"])


def check(where: Path | ImageSource) -> Report:
    """Read every list and decode every image of a folder in CelebA's form.

    Raises:
        DataError: the folder, its images or its attribute list are missing altogether.
    """
    if isinstance(where, CelebASource):
        if not where.root.is_dir():
            where.splits()  # draws a dataset that draws itself
        root = where.root
    elif isinstance(where, Path):
        root = where
    else:
        raise DataError(f"{where.name}: only folders in CelebA's form can be checked")
    folders = [root / folder for folder in IMAGE_FOLDERS if (root / folder).is_dir()]
    if not folders:
        raise DataError(f"{root}: no folder {' or '.join(IMAGE_FOLDERS)}")
    report = Report(root)
    names, rows = _attributes(root / ATTRIBUTE_FILE, report)
    parts = _partition(root / PARTITION_FILE, rows, report)
    _balance(names, rows, parts, report)
    _images([folders[0] / file for file in rows], report)
    return report


def _attributes(path: Path, report: Report) -> tuple[list[str], dict[str, list[bool]]]:
    """Attribute names, and file -> values of the rows that can be read."""
    lines = read_lines(path)
    names = lines[1].split() if len(lines) > 1 else []
    rows: dict[str, list[bool]] = {}
    for number, line in enumerate(lines[2:], start=3):
        fields = line.split()
        if not fields:
            report.problems.append(f"{path}: line {number} is blank")
        elif len(fields) != len(names) + 1 or set(fields[1:]) - {"1", "-1", "0"}:
            report.problems.append(f"{path}: line {number}: expected a file name and {len(names)} values of 1 and -1")
        elif fields[0] in rows:
            report.problems.append(f"{path}: line {number}: {fields[0]} is listed twice")
        else:
            rows[fields[0]] = [value == "1" for value in fields[1:]]
    report.images = len(rows)
    if lines and lines[0].strip() != str(len(lines) - 2):
        report.notes.append(f"{path}: line 1 says {lines[0].strip()!r} images, {len(lines) - 2} follow")
    return names, rows


def _partition(path: Path, rows: dict[str, list[bool]], report: Report) -> dict[str, str]:
    """File -> split, of those that are listed."""
    if not path.exists():
        report.notes.append(f"{path} is missing: only split=reference can be used")
        return {}
    parts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            report.problems.append(f"{path}: line {number} is blank")
        elif len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            report.problems.append(f"{path}: line {number}: expected a file name and 0, 1 or 2")
        elif fields[0] in parts:
            report.problems.append(f"{path}: line {number}: {fields[0]} is listed twice")
        else:
            parts[fields[0]] = SPLITS[int(fields[1])]
    report.problems += [f"{path}: no line for {file}" for file in rows if file not in parts]
    return parts


def _balance(names: Sequence[str], rows: dict[str, list[bool]], parts: dict[str, str], report: Report) -> None:
    values = np.asarray(list(rows.values()), dtype=bool).reshape(len(rows), len(names))
    where = np.asarray([parts.get(file, "") for file in rows], dtype=str)
    groups = {"all": np.ones(len(rows), dtype=bool)} | {which: where == which for which in SPLITS}
    groups = {which: member for which, member in groups.items() if member.any()}
    report.counts = {which: int(member.sum()) for which, member in groups.items()}
    for column, name in enumerate(names):
        report.balance[name] = {which: float(values[member, column].mean()) for which, member in groups.items()}
        if report.balance[name].get("train", report.balance[name].get("all")) in (0.0, 1.0):
            report.notes.append(f"{name} is the same in all training images: nothing can be learnt of it")


def _images(paths: Sequence[Path], report: Report) -> None:
    with ThreadPoolExecutor(4) as pool:
        for path, found in zip(
            paths, tqdm(pool.map(_look, paths), "checking", len(paths), unit="image", disable=None), strict=True
        ):
            if isinstance(found, str):
                report.problems.append(f"{path}: {found}")
            else:
                report.sizes[found[0]] += 1
                report.modes[found[1]] += 1
    for mode, count in report.modes.items():
        if mode != "RGB":
            report.notes.append(f"{count:,} images are of mode {mode}, read as RGB")
    if len(report.sizes) > 1:
        report.notes.append(f"images are of {len(report.sizes)} different sizes")


def _look(path: Path) -> tuple[tuple[int, int], str] | str:
    """Size and mode of an image, or what is wrong with it."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.size, image.mode
    except FileNotFoundError:
        return "the image is missing"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"not readable as an image ({' '.join(str(error).split())})"
