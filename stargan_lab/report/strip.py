"""The image strip: what each variant makes of the same pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from stargan_lab.errors import LabError
from stargan_lab.files import read_json, write_atomically
from stargan_lab.image_grid import GridRow, draw_sheet
from stargan_lab.report.rows import RunRow

TILE = 96
GAP = 6


@dataclass(frozen=True)
class SampleGrid:
    """The newest grid of one run.

    Attributes:
        rows: a picture each, the source and then each target, ``size`` px a side.
        owners, names: of each row the dataset and the picture's file; empty where that is not recorded.
    """

    step: int
    columns: tuple[str, ...]
    size: int
    rows: tuple[tuple[Image.Image, ...], ...]
    owners: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def first(self, count: int) -> list[int]:
        """Which rows are the first ``count`` of each dataset."""
        if not self.owners:
            return list(range(min(count, len(self.rows))))
        return [i for i, owner in enumerate(self.owners) if self.owners[:i].count(owner) < count]


def newest_samples(folder: Path) -> SampleGrid | None:
    """``samples/<step>.png`` of the largest step, taken apart by its ``targets.json``; None where there is no grid.

    Raises:
        LabError: the grid and its description do not fit.
    """
    grids = {int(path.stem): path for path in (folder / "samples").glob("*.png") if path.stem.isdigit()}
    if not grids:
        return None
    step = max(grids)
    described = folder / "samples" / "targets.json"
    about = read_json(described)
    try:
        columns, size, scale = tuple(map(str, about["columns"])), int(about["image_size"]), int(about.get("scale", 1))
        with Image.open(grids[step]) as file:
            image = file.convert("RGB")
        left, top = _places(about, image, len(columns), size * scale)
        owners, names = (tuple(map(str, about.get(key, ()))) for key in ("rows", "names"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LabError(f"{described}: expected a mapping with columns and image_size") from None
    side = size * scale
    ends = max(left, default=0) + side, max(top, default=0) + side
    if len(left) != len(columns) or not top or side < 1 or ends[0] > image.width or ends[1] > image.height:
        shape = f"{image.width}×{image.height}"
        raise LabError(f"{grids[step]}: {shape} pixels are not rows of {len(columns)} images of {side} pixels")
    rows = tuple(tuple(_tile(image, x, y, size, scale) for x in left) for y in top)
    for told in (owners, names):
        if len(told) not in (0, len(rows)):
            raise LabError(f"{described}: expected rows and names of {len(rows)} pictures, got {len(told)}")
    return SampleGrid(step, columns, size, rows, owners, names)


def _places(about: Mapping[str, Any], image: Image.Image, columns: int, side: int) -> tuple[list[int], list[int]]:
    """Where the tiles are: as recorded, or, in grids of tiles alone, side by side from the corner."""
    if "left" in about:
        return [int(x) for x in about["left"]], [int(y) for y in about["top"]]
    fits = image.width == side * columns and image.height % side == 0
    return list(range(0, side * columns, side)), list(range(0, image.height, side)) if fits else []


def _tile(image: Image.Image, x: int, y: int, size: int, scale: int) -> Image.Image:
    """The tile's own pixels, of those it was enlarged to."""
    enlarged = image.crop((x, y, x + size * scale, y + size * scale))
    return enlarged.resize((size, size), Image.Resampling.NEAREST)


def strip(rows: Sequence[RunRow], path: Path, target_names: Sequence[str] | None = None, pictures: int = 1) -> bool:
    """Save a row per variant, from its first finished run with samples, as a PNG.

    Args:
        target_names: column titles; those of the samples if None.
        pictures: how many rows of each grid are taken, of each dataset.
    Returns:
        False, and no file, when no run has samples.
    Raises:
        LabError: the runs show different targets, a different number of them, or different pictures.
    """
    found: dict[str, tuple[RunRow, SampleGrid]] = {}
    for row in rows:
        if row.variant not in found and row.usable and row.folder is not None:
            samples = newest_samples(row.folder)
            if samples is not None:
                found[row.variant] = (row, samples)
    if not found:
        return False
    (first_row, first), *others = found.values()
    for row, samples in others:
        if samples.columns != first.columns:
            raise LabError(f"the samples of runs {first_row.run_id} and {row.run_id} show different targets")
        _check_pictures(first_row, first, row, samples, pictures)
    titles = list(first.columns if target_names is None else target_names)
    if len(titles) != len(first.columns):
        raise LabError(f"run {first_row.run_id} shows {len(first.columns)} columns, {len(titles)} names are given")
    shown = []
    for variant, (row, samples) in found.items():
        made = f"seed {row.seed}, step {samples.step:,}"
        several = len(set(samples.owners)) > 1
        for index in samples.first(pictures):
            lines = [variant, *([samples.owners[index]] if several else []), made]
            shown.append(GridRow(samples.rows[index], "\n".join(lines)))
    sheet = draw_sheet(shown, titles, minimum=TILE, gap=GAP)
    write_atomically(path, lambda file: file.write(sheet.png()))
    return True


def _check_pictures(row: RunRow, own: SampleGrid, other_row: RunRow, other: SampleGrid, pictures: int) -> None:
    """See that two runs show the same pictures, where both say which. Raises LabError."""
    if not own.names or not other.names:
        return
    ours, theirs = ([(s.owners[i] if s.owners else "", s.names[i]) for i in s.first(pictures)] for s in (own, other))
    if ours != theirs:
        differing = [f"{a[1]} and {b[1]}" for a, b in zip(ours, theirs, strict=False) if a != b] or ["more of one"]
        raise LabError(
            f"the samples of runs {row.run_id} and {other_row.run_id} show different pictures ({differing[0]});"
            " train all variants with the same trainer.sample_images and trainer.sample_seed"
        )
