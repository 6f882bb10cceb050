"""SynthFaces as files in CelebA's or RaFD's form, and their ground truth: any image redrawn under any other label."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.data.annotations import ATTRIBUTE_FILE, PARTITION_FILE, SPLITS
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces.renderer import render
from stargan_lab.data.synthfaces.spec import SPEC_FILE, SynthSpec, file_name, read_spec
from stargan_lab.data.transforms import fit
from stargan_lab.errors import DataError

__all__ = ["SPEC_FILE", "SynthFacesGroundTruth", "SynthSpec", "make_synthfaces", "read_spec"]
_CHUNK = 256


def make_synthfaces(root: Path, spec: SynthSpec) -> None:
    """Draw ``spec`` into ``root``; nothing to do when it is there already. A killed one leaves nothing under ``root``.

    Raises:
        DataError: ``root`` holds something else.
    """
    root = root.absolute()
    if read_spec(root) == spec:
        return
    with files.locked(root.parent / f".{root.name}.lock"):
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            if read_spec(root) != spec:
                raise DataError(f"{root}: holds something else than the SynthFaces asked for; choose another folder")
            return
        for stale in root.parent.glob(f".{root.name}.partial-*"):
            shutil.rmtree(stale)
        partial = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.partial-"))
        try:
            _write(partial, spec)
            partial.chmod(0o755)  # mkdtemp makes it private to this user
            os.replace(partial, root)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _write(root: Path, spec: SynthSpec) -> None:
    split_of = np.repeat(SPLITS, spec.counts)
    if spec.form == "celeba":
        (root / "images").mkdir()
        values = _draw(root, spec, lambda number, face: f"images/{file_name(number)}")
        names = [file_name(number) for number in range(spec.total)]
        rows = [f"{name} {' '.join('1' if v else '-1' for v in row)}" for name, row in zip(names, values, strict=True)]
        files.write_text(root / ATTRIBUTE_FILE, "\n".join([str(spec.total), " ".join(spec.attributes), *rows]) + "\n")
        parts = [f"{name} {SPLITS.index(which)}\n" for name, which in zip(names, split_of, strict=True)]
        files.write_text(root / PARTITION_FILE, "".join(parts))
    else:
        for which, expression in product(dict.fromkeys(split_of), faces.EXPRESSIONS):
            (root / which / expression).mkdir(parents=True)
        _draw(root, spec, lambda number, face: f"{split_of[number]}/{face}/{file_name(number)}")
    files.write_json(root / SPEC_FILE, spec.description)


def _draw(root: Path, spec: SynthSpec, place: Callable[[int, str], str]) -> NDArray[np.bool_]:
    """Draw every image to ``place(its number, its expression)`` under ``root``.

    Returns:
        (total, len(spec.attributes)): which attributes hold.
    """
    held = []
    title = f"drawing {root.name.split('.partial-')[0].strip('.')}"
    with tqdm(total=spec.total, desc=title, unit="image", disable=None) as bar:
        for start in range(0, spec.total, _CHUNK):
            numbers = range(start, min(start + _CHUNK, spec.total))
            drawn = spec.sample(numbers)
            shown = np.argmax([drawn.labels[name] for name in faces.EXPRESSIONS], axis=0)
            for number, which, pixels in zip(numbers, shown, render(drawn, spec.size), strict=True):
                image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
                image.save(root / place(number, faces.EXPRESSIONS[which]), compress_level=1)
            held.append(np.stack([drawn.labels[name] for name in spec.attributes], axis=1) > 0)
            bar.update(len(numbers))
    return np.concatenate(held)


class SynthFacesGroundTruth:
    """Redraws images of a drawn dataset under other labels, through the loader's crop and resize (a ``GroundTruth``).

    Args:
        names: the labels that ``images`` speaks of: attributes, or expressions as one-hot columns.
        files: the file names of a split, in the order its indices count; only the stems matter.
    Raises:
        ConfigError: the renderer knows no such label.
    """

    def __init__(
        self, spec: SynthSpec, names: Sequence[str], crop: int | None, size: int, files: Callable[[str], Sequence[str]]
    ) -> None:
        faces.check_labels(names)
        self._spec = spec
        self._names = tuple(names)
        self._crop = crop
        self._size = size
        self._files = files

    def images(self, split: str, indices: Sequence[int], labels: Tensor) -> Tensor:
        """(n, 3, H, W) uint8: images ``indices`` of ``split`` with ``labels`` (n, A) of the dataset's own names.

        For an image's own labels these are the loader's pixels, to the bit.

        Raises:
            DataError: a row of ``labels`` sets two hair colours or two expressions.
        """
        return self.redraw(split, indices, self._names, labels)

    def redraw(self, split: str, indices: Sequence[int], names: Sequence[str], labels: Tensor) -> Tensor:
        """(n, 3, H, W) uint8: the same with ``labels`` (n, len(names)) of any of ``faces.LABELS``.

        Attributes may be asked of the form with expressions and the other way round; ``faces.relabel`` says what
        becomes of what is not asked for.

        Raises:
            ConfigError: the renderer knows no such label.
            DataError: as of ``images``.
        """
        stems = self._files(split)
        drawn = self._spec.sample([int(Path(stems[i]).stem) - 1 for i in indices])
        asked = labels.detach().cpu().numpy().astype(np.float32)
        pixels = render(faces.relabel(drawn, names, asked), self._spec.size)
        if self._spec.size != self._size or self._crop not in (None, self._size):
            pixels = np.stack(
                [fit(Image.fromarray(p.transpose(1, 2, 0).copy()), self._crop, self._size) for p in pixels]
            )
        return torch.from_numpy(pixels)
