"""SynthFaces as files in CelebA's form, and its ground truth: any image redrawn under any other label."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.data import faces
from stargan_lab.data.lists import ATTRIBUTE_FILE, PARTITION_FILE, SPLITS
from stargan_lab.data.renderer import RENDERER_VERSION, render
from stargan_lab.data.transforms import fit
from stargan_lab.errors import ConfigError, DataError

SPEC_FILE = "synthfaces.json"
_CHUNK = 256


@dataclass(frozen=True)
class SynthSpec:
    """What a drawn dataset is: ``size`` px, images per split, ``seed``, and ``difficulty`` from 0 (calm) to 1.

    Image i of a split depends on seed, split, i, size and difficulty; not on how many there are.
    """

    size: int
    train: int
    valid: int
    test: int
    seed: int = 0
    difficulty: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "difficulty", float(self.difficulty))  # 0 and 0.0 hash alike
        if not 0 <= self.difficulty <= 1:
            raise ConfigError(f"synthfaces: difficulty goes from 0 to 1, got {self.difficulty}")
        if self.size < 8 or min(self.train, self.valid, self.test, self.seed) < 0 or self.total == 0:
            raise ConfigError(f"synthfaces: expected size of at least 8, counts and seed of at least 0, got {self}")

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.train, self.valid, self.test

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def fingerprint(self) -> str:
        """Hash of this and the renderer's version: equal fingerprint, equal pixels."""
        return files.canonical_hash({**asdict(self), "version": RENDERER_VERSION})

    def identity(self, file: int) -> int:
        """The identity drawn in file number ``file`` (from 0, train first): no split shares one with another."""
        for which, count in enumerate(self.counts):
            if file < count:
                return (which << 32) + file
            file -= count
        raise DataError(f"synthfaces: there is no image {file + self.total + 1} among {self.total}")


def file_name(file: int) -> str:
    return f"{file + 1:06d}.png"


def read_spec(root: Path) -> SynthSpec | None:
    """What was drawn into ``root``; None for any other folder.

    Raises:
        DataError: drawn by another version of the renderer, whose pixels cannot be redrawn.
    """
    path = root / SPEC_FILE
    if not path.exists():
        return None
    raw = files.read_json(path)
    try:
        version = raw.pop("version")
        spec = SynthSpec(**raw)
    except (AttributeError, KeyError, TypeError, ConfigError):
        raise DataError(f"{path}: not a description of SynthFaces") from None
    if version != RENDERER_VERSION:
        raise DataError(
            f"{root}: drawn by version {version} of SynthFaces, this is {RENDERER_VERSION}; remove it and draw it again"
        )
    return spec


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
    (root / "images").mkdir()
    rows: list[str] = []
    with tqdm(
        total=spec.total, desc=f"drawing {root.name.split('.partial-')[0].strip('.')}", unit="image", disable=None
    ) as bar:
        for start in range(0, spec.total, _CHUNK):
            numbers = range(start, min(start + _CHUNK, spec.total))
            drawn = faces.sample(spec.seed, [spec.identity(i) for i in numbers], spec.difficulty)
            for i, pixels in zip(numbers, render(drawn, spec.size), strict=True):
                image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
                image.save(root / "images" / file_name(i), compress_level=1)
            values = np.stack([drawn.attributes[name] for name in faces.ATTRIBUTES], axis=1) > 0
            for i, row in zip(numbers, values, strict=True):
                rows.append(f"{file_name(i)} {' '.join('1' if value else '-1' for value in row)}")
            bar.update(len(numbers))
    parts = np.repeat(np.arange(len(SPLITS)), spec.counts)
    files.write_text(root / ATTRIBUTE_FILE, "\n".join([str(spec.total), " ".join(faces.ATTRIBUTES), *rows]) + "\n")
    files.write_text(root / PARTITION_FILE, "".join(f"{file_name(i)} {part}\n" for i, part in enumerate(parts)))
    files.write_json(root / SPEC_FILE, {**asdict(spec), "version": RENDERER_VERSION})


class Truth:
    """Redraws images of a drawn dataset under other labels, through the loader's crop and resize (a ``GroundTruth``).

    Args:
        names: the file names of a split, in the order its indices count.
    """

    def __init__(
        self,
        spec: SynthSpec,
        attributes: Sequence[str],
        crop: int | None,
        size: int,
        names: Callable[[str], Sequence[str]],
    ) -> None:
        self._spec = spec
        self._attributes = attributes
        self._crop = crop
        self._size = size
        self._names = names

    def images(self, split: str, indices: Sequence[int], labels: Tensor) -> Tensor:
        """(n, 3, H, W) uint8: images ``indices`` of ``split`` with ``labels`` (n, A) of the selected attributes.

        For an image's own labels these are the loader's pixels, to the bit.

        Raises:
            DataError: a row of ``labels`` sets two hair colours.
        """
        names = self._names(split)
        identities = [self._spec.identity(int(names[i].split(".")[0]) - 1) for i in indices]
        drawn = faces.sample(self._spec.seed, identities, self._spec.difficulty)
        asked = labels.detach().cpu().numpy().astype(np.float32)
        pixels = render(faces.relabel(drawn, self._attributes, asked), self._spec.size)
        if self._spec.size != self._size or self._crop not in (None, self._size):
            pixels = np.stack(
                [fit(Image.fromarray(p.transpose(1, 2, 0).copy()), self._crop, self._size) for p in pixels]
            )
        return torch.from_numpy(pixels)
