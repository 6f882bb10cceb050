"""Sample grids: one row per image with its translations to every target, one column per target."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import ConfigError, nearest
from stargan_lab.evaluation.context import Translate
from stargan_lab.figures.image_grid import GridRow, as_image, draw_sheet
from stargan_lab.files import write_atomically, write_json
from stargan_lab.labels import target_labels
from stargan_lab.seeding import generator_for
from stargan_lab.tracking.run_folder import GROUND_TRUTH, TARGETS

PredictLabels = Callable[[Tensor, int, int], Tensor]
"""(N, 3, H, W) uint8 images, index of their dataset, index of another dataset -> (N, A) labels of 0 and 1 under the
names of the other dataset."""


class SampleWriter:
    """Writes grids of the same images in every run on the same data, independent of the run's seed.

    Args:
        folder: directory for ``<step>.png`` and ``targets.json``.
        images: how many of each dataset's test split, or file names in any test split.
        image_size: side in px.
        seed: None selects the first images; an integer seeds a random selection.
        predict_labels: labels of images under another dataset's names; None: all 0.
    Raises:
        ConfigError: a file is in no test split.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[ImageSource],
        images: int | Sequence[str],
        image_size: int,
        seed: int | None = None,
        predict_labels: PredictLabels | None = None,
    ) -> None:
        self.folder, self.sources, self.image_size = folder, sources, image_size
        self._predict_labels = predict_labels
        if isinstance(images, int):
            self.indices = [_pick(source, images, seed) for source in sources]
        else:
            self.indices = _find([source.split("test").names for source in sources], images)

    @property
    def titles(self) -> list[str]:
        """Column titles, the first for the input image."""
        several = len(self.sources) > 1
        names = [(s.name, name) for s in self.sources for name in s.spec.names]
        return ["input", *(f"{source}: {name}" if several else name for source, name in names)]

    def write(self, step: int, translate: Translate) -> Path:
        """Translate and write ``<step>.png``; does not change any random state. Returns its path."""

        def translated(index: int, other: int, labels: Tensor, pixels: Tensor) -> Tensor:
            return to_uint8(translate(to_float(pixels), labels, other)).cpu()

        path = self.folder / f"{step:08d}.png"
        self._write(path, translated)
        return path

    def write_ground_truth(self) -> Path | None:
        """Write ``ground_truth.png``, the same grid with exact translations; None if a dataset has no ground truth."""
        if any(source.ground_truth is None for source in self.sources):
            return None

        def redrawn(index: int, other: int, labels: Tensor, pixels: Tensor) -> Tensor:
            drawer: Any = self.sources[index].ground_truth
            return drawer.redraw("test", self.indices[index], self.sources[other].spec.names, labels)

        path = self.folder / f"{GROUND_TRUTH}.png"
        self._write(path, redrawn)
        return path

    @torch.no_grad()
    def _write(self, path: Path, column: Callable[[int, int, Tensor, Tensor], Tensor]) -> None:
        """Write a grid and ``targets.json``, which describes it.

        Args:
            column: index of a dataset, index of the targets' dataset, (n, A) target labels and (n, 3, S, S) uint8
                images -> (n, 3, S, S) uint8.
        """
        rows, owners, names = [], [], []
        for index, source in enumerate(self.sources):
            if not self.indices[index]:
                continue
            columns = self._columns(index, column)
            for tiles in zip(*columns, strict=True):
                rows.append(GridRow([as_image(tile) for tile in tiles], source.name if len(self.sources) > 1 else ""))
                owners.append(source.name)
            names += [source.split("test").names[position] for position in self.indices[index]]
        sheet = draw_sheet(rows, self.titles)
        about = {
            "columns": self.titles,
            "rows": owners,
            "names": names,
            "image_size": self.image_size,
            "scale": sheet.scale[0],
            "left": list(sheet.left[0]),
            "top": list(sheet.top),
        }
        write_json(self.folder / TARGETS, about)
        write_atomically(path, partial(sheet.image.save, format="PNG"))

    def _columns(self, index: int, column: Callable[[int, int, Tensor, Tensor], Tensor]) -> list[Tensor]:
        """(n, 3, S, S) uint8 each: a dataset's images, then a column for each target of every dataset."""
        split = self.sources[index].split("test")
        pixels, labels = split.images(self.indices[index]), split.labels[self.indices[index]]
        columns = [pixels]
        for other, source in enumerate(self.sources):
            if other == index:
                source_labels = labels
            elif self._predict_labels is not None:
                source_labels = self._predict_labels(pixels, index, other)
            else:
                source_labels = torch.zeros(len(pixels), len(source.spec.names))
            for target in range(len(source.spec.names)):
                columns.append(column(index, other, target_labels(source_labels, source.spec, target), pixels))
        return columns


def _pick(source: ImageSource, count: int, seed: int | None) -> list[int]:
    total = len(source.split("test"))
    if seed is None:
        return list(range(min(count, total)))
    order = torch.randperm(total, generator=generator_for("samples", seed, source.name))
    return sorted(order[:count].tolist())


def check_file_names(sources: Sequence[ImageSource], images: int | Sequence[str]) -> None:
    """Check file names before anything is rendered or packed, if every dataset can already list its files.

    Raises:
        ConfigError: a file is in no test split.
    """
    listers = [getattr(source, "file_names", None) for source in sources]
    if not isinstance(images, int) and all(map(callable, listers)):
        _find([lister("test") for lister in listers if lister], images)


def _find(splits: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[int]]:
    """Indices of files in each split, given by its file names, in the order of ``names``."""
    indices = [{name: index for index, name in enumerate(split)} for split in splits]
    known = {name for split in indices for name in split}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"trainer.sample_images: {name!r} is not in any test split{nearest(name, known)}"
                f" ({len(known):,} files such as {min(known, default='none')})"
            )
    return [[split[name] for name in names if name in split] for split in indices]
