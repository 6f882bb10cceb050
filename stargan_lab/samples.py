"""Sample grids: a row per image, first the image, then its translation to every target."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stargan_lab.batch import ImageSource, target_labels, to_float, to_uint8
from stargan_lab.files import write_atomically, write_json

Translate = Callable[[Tensor, Tensor, int], Tensor]
"""(N, 3, H, W) images in [-1, 1], (N, A) labels, index of their dataset -> images."""


class Samples:
    """The same images in every run over the same data: the first of the test split.

    Args:
        folder: where ``<step>.png`` and ``targets.json`` go.
        count: rows.
    """

    def __init__(self, folder: Path, sources: Sequence[ImageSource], count: int, image_size: int) -> None:
        self.folder, self.sources, self.count, self.image_size = folder, sources, count, image_size

    @property
    def titles(self) -> list[str]:
        """Column titles, the first being the image itself."""
        return ["input", *(name for source in self.sources for name in source.spec.names)]

    @torch.no_grad()
    def write(self, step: int, translate: Translate) -> Path:
        rows = []
        for index, source in enumerate(self.sources):
            split = source.split("test")
            picked = list(range(min(self.count, len(split))))
            pixels, labels = split.images(picked), split.labels[picked]
            columns = [pixels]
            for asked, other in enumerate(self.sources):
                # what an image of one dataset is labelled under another's names is not known: none of them
                own = labels if asked == index else labels.new_zeros(len(labels), len(other.spec.names))
                for target in range(len(other.spec.names)):
                    translated = translate(to_float(pixels), target_labels(own, other.spec, target), asked)
                    columns.append(to_uint8(translated).cpu())
            rows.append(torch.cat(columns, dim=3))
        path = self.folder / f"{step:08d}.png"
        write_json(self.folder / "targets.json", {"columns": self.titles, "image_size": self.image_size})
        _write_png(path, torch.cat(rows).permute(0, 2, 3, 1).flatten(0, 1))
        return path


def _write_png(path: Path, pixels: Tensor) -> None:
    """(H, W, 3) uint8 as a PNG, atomically."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(buffer, "PNG")
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
