"""Datasets in CelebA's form: real CelebA, and SynthFaces, which draws itself and is then read by the very same code."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.batch import GroundTruth, LabelSpec
from stargan_lab.data import faces
from stargan_lab.data.lists import ATTRIBUTE_FILE, SPLITS, Split, read_attributes, split_rows
from stargan_lab.data.packed import PackedSet, pack
from stargan_lab.data.synthfaces import SynthSpec, Truth, make_synthfaces, read_spec
from stargan_lab.data.transforms import read_image
from stargan_lab.errors import ConfigError, DataError, unknown
from stargan_lab.registry import family

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Groups = tuple[tuple[str, ...], ...]
Limit = Annotated[int, Field(ge=1)] | None
Count = Annotated[int, Field(ge=0)]
HAIR: Groups = (("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),)
"""The hair colours the reference lets exclude each other (its Bald is not one)."""
IMAGE_FOLDERS = ("images", "img_align_celeba")


@dataclass(frozen=True)
class Selection:
    """What of a folder is served and how: everything here changes images or labels."""

    attributes: tuple[str, ...]
    split: Split
    crop: int | None
    image_size: int
    limits: tuple[int | None, int | None, int | None] = (None, None, None)

    def key(self) -> list[object]:
        return [list(self.attributes), self.split, self.crop, self.image_size, list(self.limits)]


class CelebASource:
    """A folder in CelebA's form (an ``ImageSource``).

    Args:
        spec: of the SynthFaces to draw there when missing; None: the folder is what it is.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        outputs: Path,
        selection: Selection,
        groups: Groups,
        flip: bool,
        spec: SynthSpec | None = None,
    ) -> None:
        names = selection.attributes
        if len(set(names)) < len(names) or not names:
            raise ConfigError(f"data.sources.{name}.attributes: expected different names, got {list(names)}")
        self.name = name
        self.root = root
        self.flip = flip
        self._outputs = outputs
        self._selection = selection
        self._drawn = spec
        self._packed: dict[str, PackedSet] = {}
        chosen = [tuple(n for n in group if n in names) for group in groups]
        self.spec = LabelSpec(name, names, "binary", tuple(group for group in chosen if group))

    @cached_property
    def fingerprint(self) -> str:
        """Of a drawn dataset its spec, of any other the content of the images and labels served."""
        content: object = self._content
        if self._drawn is None:
            content = [content, [[which, *self._digest(which)] for which in self.splits()]]
        return files.canonical_hash([content, self._selection.key()])

    @cached_property
    def truth(self) -> GroundTruth | None:
        """The exact answers, where the folder was drawn by SynthFaces."""
        spec = self._drawn or read_spec(self.root)
        s = self._selection
        if spec is None:
            return None
        return Truth(spec, s.attributes, s.crop, s.image_size, lambda which: self._rows_of(which)[0])

    def prepare(self) -> None:
        """Draw what is missing and pack every split. Raises DataError that names the path."""
        for which in self.splits():
            self.split(which)

    def splits(self) -> Sequence[str]:
        return [which for which in SPLITS if which in self._rows]

    def split(self, which: str) -> PackedSet:
        """One split, packed first if it is not yet. Raises DataError for a split that does not exist."""
        if which in self._packed:  # asked for in every training step
            return self._packed[which]
        names, labels = self._rows_of(which)
        s = self._selection
        key = files.canonical_hash([self._content, self._digest(which)[0], s.crop, s.image_size])
        path = self._outputs / "cache" / "packed" / f"{key[:32]}.npy"
        paths = [self._images / name for name in names]
        pack(path, paths, lambda p: read_image(p, s.crop, s.image_size), s.image_size, f"packing {self.name}/{which}")
        self._packed[which] = PackedSet(path, names, torch.from_numpy(labels))
        return self._packed[which]

    @cached_property
    def _images(self) -> Path:
        """The folder of the images; draws the dataset when that is asked for."""
        if self._drawn is not None:
            make_synthfaces(self.root, self._drawn)
        found = [self.root / folder for folder in IMAGE_FOLDERS if (self.root / folder).is_dir()]
        if not found:
            raise DataError(
                f"{self.root}: expected CelebA there: images/ (or img_align_celeba/), list_attr_celeba.txt and"
                " list_eval_partition.txt; `stargan-lab data make` draws a stand-in"
            )
        return found[0]

    @cached_property
    def _rows(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Split -> file names and (n, A) labels, limits applied."""
        _ = self._images  # first, since it says what is expected in the folder
        listed = read_attributes(self.root / ATTRIBUTE_FILE)
        labels = listed.columns(self._selection.attributes)
        limits = dict(zip(SPLITS, self._selection.limits, strict=True))
        rows = {which: found[: limits[which]] for which, found in split_rows(listed, self._selection.split).items()}
        return {which: ([listed.files[row] for row in found], labels[found]) for which, found in rows.items()}

    def _rows_of(self, which: str) -> tuple[list[str], np.ndarray]:
        if which not in self._rows:
            raise DataError(f"{self.root}: {unknown('split', which, self._rows)}")
        return self._rows[which]

    def _digest(self, which: str) -> tuple[str, str]:
        """Hashes of a split's file names and labels."""
        names, labels = self._rows_of(which)
        return files.sha256_bytes(["\n".join(names).encode()]), files.sha256_bytes([labels.tobytes()])

    @cached_property
    def _content(self) -> str:
        """What the pixels depend on, apart from the selection."""
        if self._drawn is not None:
            return self._drawn.fingerprint
        paths = [self._images / name for which in self.splits() for name in self._rows_of(which)[0]]
        return content_hash(paths, self._outputs / "cache" / "fingerprints")


def content_hash(paths: Sequence[Path], cache: Path) -> str:
    """Hash of the files' names and bytes, kept under ``cache`` for as long as no name, size or time of change differs.

    Raises:
        DataError: a file is missing.
    """
    try:
        listing = [[path.name, (status := path.stat()).st_size, status.st_mtime_ns] for path in paths]
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: the image is missing") from None
    parent = str(paths[0].parent.absolute()) if paths else ""
    known = cache / f"{files.canonical_hash([parent, listing])[:32]}.txt"
    if not known.exists():
        with ThreadPoolExecutor(4) as pool:
            digests = list(
                tqdm(pool.map(files.sha256_file, paths), "hashing images", len(paths), unit="image", disable=None)
            )
        rows = (f"{path.name} {digest}\n".encode() for path, digest in zip(paths, digests, strict=True))
        files.write_text(known, files.sha256_bytes(rows))
    return known.read_text()


@family("dataset").register("celeba", source="Liu et al. 2015; split, crop and hair colours: yunjey/stargan")
def celeba(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str,
    attributes: Names,
    split: Literal["official", "reference"] = "official",
    crop: Annotated[int, Field(ge=1)] | None = 178,
    flip: bool = True,
    exclusive: Groups = HAIR,
    max_train: Limit = None,
    max_valid: Limit = None,
    max_test: Limit = None,
) -> CelebASource:
    """CelebA from a folder, or anything in its form.

    Args:
        root: folder with ``images/`` (or ``img_align_celeba/``), ``list_attr_celeba.txt``, ``list_eval_partition.txt``.
        attributes: the labels, in this order.
        split: ``official``, or the reference's own: 1,999 test images, no validation, identities mixed.
        crop: side in px of the centred square; null takes the largest.
        flip: mirror training images with probability 1/2.
        exclusive: groups of attributes of which a target sets one and clears the rest.
        max_train, max_valid, max_test: take only the first so many.
    """
    selection = Selection(tuple(attributes), split, crop, image_size, (max_train, max_valid, max_test))
    return CelebASource(name, Path(root).expanduser(), outputs, selection, exclusive, flip)


@family("dataset").register("synthfaces", source="drawn here, see stargan_lab/data/renderer.py")
def synthfaces(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str | None = None,
    attributes: Names = (*faces.EXCLUSIVE[0], "Male", "Young", "Oval_Face"),
    split: Literal["official", "reference"] = "official",
    size: Annotated[int, Field(ge=8)] | None = None,
    train: Annotated[int, Field(ge=1)] = 8_000,
    valid: Count = 500,
    test: Annotated[int, Field(ge=1)] = 1_000,
    seed: Count = 0,
    difficulty: Annotated[float, Field(ge=0, le=1)] = 0.5,
    crop: Annotated[int, Field(ge=1)] | None = None,
    flip: bool = True,
    exclusive: Groups = HAIR,
) -> CelebASource:
    """Drawn faces, of which every image's right answer under every label is known; draws itself when missing.

    Args:
        root: where the images are written; null: ``data/`` under the outputs, named after what is drawn.
        size: px of the drawn images; null: as large as they are used.
        train, valid, test: images per split; image i is the same whatever the number.
        difficulty: 0 calm, muted backgrounds … 1 strongly coloured, striped ones and varied light.
        attributes, split, crop, flip, exclusive: as of ``celeba``.
    """
    for attribute in attributes:
        if attribute not in faces.ATTRIBUTES:
            raise ConfigError(f"data.sources.{name}.attributes: {unknown('attribute', attribute, faces.ATTRIBUTES)}")
    spec = SynthSpec(size or image_size, train, valid, test, seed, difficulty)
    folder = Path(root).expanduser() if root else outputs / "data" / f"synthfaces-{spec.fingerprint[:12]}"
    return CelebASource(
        name, folder, outputs, Selection(tuple(attributes), split, crop, image_size), exclusive, flip, spec
    )
