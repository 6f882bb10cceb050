"""Sample grids: a row per image, first the image, then its translation to every target, under the targets' names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import ConfigError, nearest
from stargan_lab.files import write_atomically, write_json
from stargan_lab.image_grid import GridRow, draw_sheet
from stargan_lab.labels import target_labels
from stargan_lab.seeding import generator_for

Translate = Callable[[Tensor, Tensor, int], Tensor]
"""(N, 3, H, W) images in [-1, 1], (N, A) labels, index of their dataset -> images."""

LabelsUnder = Callable[[Tensor, int, int], Tensor]
"""(N, 3, H, W) uint8 images, index of their dataset, index of another -> (N, A) of 0 and 1: their labels under the
other's names."""


class SampleWriter:
    """The same images in every run over the same data, whatever is trained and however it is seeded.

    Args:
        folder: where ``<step>.png`` and ``targets.json`` go.
        images: how many of each dataset's test split, or the names of files in it.
        image_size: side in px.
        seed: None for the first ones; a number picks that many at random, by this number alone.
        labels_under: own labels of one dataset's images under another's names; None: all 0.
    Raises:
        ConfigError: a file that no test split has.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[ImageSource],
        images: int | Sequence[str],
        image_size: int,
        seed: int | None = None,
        labels_under: LabelsUnder | None = None,
    ) -> None:
        self.folder, self.sources, self.image_size = folder, sources, image_size
        self._labels_under = labels_under
        if isinstance(images, int):
            self.picked = [_some(source, images, seed) for source in sources]
        else:
            self.picked = _named([source.split("test").names for source in sources], images)

    @property
    def titles(self) -> list[str]:
        """Column titles, the first being the image itself."""
        several = len(self.sources) > 1
        names = [(s.name, name) for s in self.sources for name in s.spec.names]
        return ["input", *(f"{source}: {name}" if several else name for source, name in names)]

    @torch.no_grad()
    def write(self, step: int, translate: Translate) -> Path:
        """Translate and write ``<step>.png``; no random state is read or moved."""
        rows, owners, names = [], [], []
        for index, source in enumerate(self.sources):
            if not self.picked[index]:
                continue
            columns = self._columns(index, translate)
            for tiles in zip(*columns, strict=True):
                rows.append(GridRow([as_image(tile) for tile in tiles], source.name if len(self.sources) > 1 else ""))
                owners.append(source.name)
            names += [source.split("test").names[place] for place in self.picked[index]]
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
        path = self.folder / f"{step:08d}.png"
        write_json(self.folder / "targets.json", about)
        write_atomically(path, lambda file: file.write(sheet.png()))
        return path

    def _columns(self, index: int, translate: Translate) -> list[Tensor]:
        """(n, 3, S, S) uint8: a dataset's images, and these under each target of every dataset."""
        split = self.sources[index].split("test")
        pixels, labels = split.images(self.picked[index]), split.labels[self.picked[index]]
        columns = [pixels]
        for asked, other in enumerate(self.sources):
            own = labels if asked == index else self._under(pixels, index, asked)
            for target in range(len(other.spec.names)):
                translated = translate(to_float(pixels), target_labels(own, other.spec, target), asked)
                columns.append(to_uint8(translated).cpu())
        return columns

    def _under(self, pixels: Tensor, index: int, asked: int) -> Tensor:
        if self._labels_under is not None:
            return self._labels_under(pixels, index, asked)
        return torch.zeros(len(pixels), len(self.sources[asked].spec.names))  # not known: none of them


def _some(source: ImageSource, count: int, seed: int | None) -> list[int]:
    total = len(source.split("test"))
    if seed is None:
        return list(range(min(count, total)))
    order = torch.randperm(total, generator=generator_for("samples", seed, source.name))
    return sorted(order[:count].tolist())


def check_named(sources: Sequence[ImageSource], images: int | Sequence[str]) -> None:
    """See that named files are there before anything is drawn or packed, as far as the datasets can tell by then.

    Raises:
        ConfigError: a file that no test split has.
    """
    listers = [getattr(source, "file_names", None) for source in sources]
    if not isinstance(images, int) and all(map(callable, listers)):
        _named([lister("test") for lister in listers if lister], images)


def _named(tests: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[int]]:
    """Where each dataset's test split, given by its files, has those named, in the order they are named."""
    places = [{name: place for place, name in enumerate(test)} for test in tests]
    known = {name for found in places for name in found}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"trainer.sample_images: no test split has {name!r}{nearest(name, known)}"
                f" (it is one of {len(known):,} names such as {min(known, default='none')})"
            )
    return [[found[name] for name in names if name in found] for found in places]


def as_image(pixels: Tensor) -> Image.Image:
    """(3, H, W) uint8."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())
