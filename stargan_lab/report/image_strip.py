"""The image strip of a report: how each variant translates the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pandas import DataFrame
from PIL import Image

from stargan_lab.errors import LabError
from stargan_lab.figures.image_grid import GridRow, draw_sheet
from stargan_lab.files import read_json, write_atomically
from stargan_lab.report.collect_runs import finished
from stargan_lab.tracking.run_folder import GROUND_TRUTH, TARGETS


@dataclass(frozen=True)
class SampleGrid:
    """The newest sample grid of a run.

    Attributes:
        columns: the input and each target.
        rows: for each image its tiles, one per column, with sides of ``size`` px.
        datasets, names: dataset and file of each row's image; empty if they were not recorded.
    """

    step: int
    columns: tuple[str, ...]
    size: int
    rows: tuple[tuple[Image.Image, ...], ...]
    datasets: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def with_columns(self, names: Sequence[str]) -> "SampleGrid":
        """Only the columns of these names, which it has."""
        places = [self.columns.index(name) for name in names]
        rows = tuple(tuple(row[place] for place in places) for row in self.rows)
        return replace(self, columns=tuple(names), rows=rows)

    def first_of_each_dataset(self) -> list[int]:
        """Indices of rows."""
        return [self.datasets.index(name) for name in dict.fromkeys(self.datasets)] or [0]

    def first_images(self) -> list[tuple[str, str]]:
        """Dataset and file of these rows' images; empty if the files were not recorded."""
        datasets = self.datasets or ("",)
        return [(datasets[i], self.names[i]) for i in self.first_of_each_dataset()] if self.names else []


def newest_samples(folder: Path) -> SampleGrid | None:
    """Cut the tiles out of the newest ``samples/<step>.png`` of a run; None if there is none.

    Raises:
        LabError: the grid does not match its description, ``samples/targets.json``.
    """
    steps = [path.stem for path in (folder / "samples").glob("*.png") if path.stem.isdigit()]
    return read_samples(folder, max(steps, key=int)) if steps else None


def read_samples(folder: Path, stem: str) -> SampleGrid | None:
    """Cut the tiles out of ``samples/<stem>.png`` of a run; None if there is no such file. Raises LabError."""
    grid = folder / "samples" / f"{stem}.png"
    if not grid.is_file():
        return None
    description = folder / "samples" / TARGETS
    about = read_json(description)
    try:
        columns, size, scale = tuple(map(str, about["columns"])), int(about["image_size"]), int(about.get("scale", 1))
        side = size * scale
        with Image.open(grid) as file:
            image = file.convert("RGB")
        left, top = _positions(about, image, len(columns), side)
        datasets, names = (tuple(map(str, about.get(key, ()))) for key in ("rows", "names"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LabError(f"{description}: expected a mapping with columns and image_size") from None
    inside = max(left, default=0) + side <= image.width and max(top, default=0) + side <= image.height
    if len(left) != len(columns) or not top or side < 1 or not inside:
        actual = f"{image.width}×{image.height} px"
        raise LabError(f"{grid}: expected rows of {len(columns)} images of {side} px, got {actual}")
    for values in (datasets, names):
        if len(values) not in (0, len(top)):
            raise LabError(f"{description}: expected rows and names of {len(top)} images, got {len(values)}")
    rows = tuple(tuple(_tile(image, x, y, side, size) for x in left) for y in top)
    return SampleGrid(int(stem) if stem.isdigit() else 0, columns, size, rows, datasets, names)


def _positions(about: Mapping[str, Any], image: Image.Image, columns: int, side: int) -> tuple[list[int], list[int]]:
    """x and y of the tiles as recorded; old grids have no titles, so their tiles start at the corner."""
    if "left" in about:
        return [int(x) for x in about["left"]], [int(y) for y in about["top"]]
    fits = image.width == side * columns and image.height % side == 0
    return list(range(0, side * columns, side)), list(range(0, image.height, side)) if fits else []


def _tile(image: Image.Image, x: int, y: int, side: int, size: int) -> Image.Image:
    """A tile of ``side`` px at its original size."""
    return image.crop((x, y, x + side, y + side)).resize((size, size), Image.Resampling.NEAREST)


def draw_strip(runs: DataFrame, path: Path, seeds: int = 1) -> bool:
    """Save a PNG with the first image of each dataset, translated by each variant, and the ground truth last.

    It has the targets that all runs share.

    Args:
        seeds: how many of each variant's finished runs with samples to show, in the order of their seeds.
    Returns:
        False, without a file, if no run has samples.
    Raises:
        LabError: the runs have no target in common, or different images.
    """
    grids: dict[str, SampleGrid] = {}
    shown: list[Any] = []
    for run in finished(runs)[["variant", "seed", "run_id", "folder"]].itertuples():
        of_variant = sum(other.variant == run.variant for other in shown)
        if of_variant < seeds and run.folder is not None and (samples := newest_samples(run.folder)):
            shown.append(run)
            grids[run.run_id] = samples
    if not grids:
        return False
    common = _common_columns(grids)
    rows = []
    for run in shown:
        samples = grids[run.run_id].with_columns(common)
        rows += _rows(samples, run.variant, f"seed {run.seed}, step {samples.step:,}")
    first = shown[0]
    if (truth := read_samples(first.folder, GROUND_TRUTH)) is not None:
        rows += _rows(truth.with_columns(common), "ground truth")
    sheet = draw_sheet(rows, common, minimum=96, gap=6)
    write_atomically(path, partial(sheet.image.save, format="PNG"))
    return True


def _rows(samples: SampleGrid, *labels: str) -> list[GridRow]:
    """The first image of each dataset; the dataset's name comes after the first label if there are several."""
    several = len(set(samples.datasets)) > 1
    rows = []
    for index in samples.first_of_each_dataset():
        dataset = [samples.datasets[index]] if several else []
        rows.append(GridRow(samples.rows[index], "\n".join([labels[0], *dataset, *labels[1:]])))
    return rows


def _common_columns(grids: Mapping[str, SampleGrid]) -> list[str]:
    """The columns that all have; rejects runs without a common target, or with different images if these have names."""
    (first_id, first), *others = grids.items()
    for other_id, other in others:
        pair = f"the samples of runs {first_id} and {other_id}"
        if len({*first.columns} & {*other.columns}) < 2:
            raise LabError(f"{pair} show different targets")
        images, other_images = first.first_images(), other.first_images()
        if images and other_images and images != other_images:
            differing = [f" ({a[1]} and {b[1]})" for a, b in zip(images, other_images, strict=False) if a != b]
            raise LabError(
                f"{pair} show different images{''.join(differing[:1])}; "
                "train all variants with the same trainer.sample_images and trainer.sample_seed"
            )
    return [name for name in first.columns if all(name in each.columns for each in grids.values())]
