"""Datasets as a tree of class folders (torchvision's ImageFolder): RaFD, one's own, and drawn expressions.

``train/<class>/…`` and ``test/<class>/…``, and ``valid/<class>/…`` where there is one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from stargan_lab.data.annotations import SPLITS, Complain, refuse
from stargan_lab.data.listing import SplitRows
from stargan_lab.data.packed_source import Count, Crop, Difficulty, Limit, PackedSource, Serving, Side, Unreadable
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces.dataset import SynthSpec
from stargan_lab.data.tree import IMAGES, files_below, find_splits, images_below, loose_images, subfolders
from stargan_lab.errors import ConfigError, DataError, unknown
from stargan_lab.labels import LabelSpec
from stargan_lab.registry import family

Eight = Annotated[int, Field(ge=8)]
Classes = Annotated[tuple[str, ...], Field(min_length=2)] | None


@dataclass(frozen=True)
class FolderListing:
    """A tree of class folders (a ``Listing``). Images alternate between classes, so that the first n are of all.

    Attributes:
        classes: those to take, in this order; None: all that train has, sorted.
    """

    dataset: str
    root: Path
    classes: tuple[str, ...] | None

    def __post_init__(self) -> None:
        if self.classes is not None and (len(set(self.classes)) < len(self.classes) or len(self.classes) < 2):
            raise ConfigError(
                f"{self._key}: expected two or more different names, or null for all, got {list(self.classes)}"
            )

    @cached_property
    def spec(self) -> LabelSpec:
        names = self.classes or tuple(subfolders(find_splits(self.root)["train"]))
        if len(names) < 2:
            train = self.root / "train"
            raise DataError(f"{train}: one single class folder, {names[0]!r}; a translation needs at least two")
        return LabelSpec(self.dataset, names, "categorical")

    @property
    def folder(self) -> Path:
        return self.root

    def rows(self, complain: Complain = refuse) -> dict[str, SplitRows]:
        self._check_classes(complain)
        names, found = self.spec.names, {}
        for which in SPLITS:
            images = [images_below(self.root / which / name) for name in names]
            ranked = sorted((rank, label) for label, files in enumerate(images) for rank in range(len(files)))
            if ranked:
                paths = [f"{which}/{names[label]}/{images[label][rank]}" for rank, label in ranked]
                found[which] = SplitRows(paths, np.eye(len(names), dtype=np.float32)[[label for _, label in ranked]])
        return found

    def selection(self) -> list[object]:
        return ["folders"]

    def file_names(self, spec: SynthSpec, which: str) -> list[str]:
        return [name for name in spec.file_names(which) if Path(name).parts[1] in self.spec.names]

    def remarks(self) -> Iterator[tuple[str, str]]:
        for name in subfolders(self.root):
            if name not in SPLITS:
                yield "folders that are no split", name
        for which in SPLITS:
            folder = self.root / which
            for name in loose_images(folder):
                yield "images outside of class folders", f"{which}/{name}"
            for name in subfolders(folder):
                if name not in self.spec.names:
                    yield "class folders not selected", f"{which}/{name}"
                    continue
                for file in files_below(folder / name):
                    if not file.lower().endswith(IMAGES):
                        yield "files present but not listed", f"{which}/{name}/{file}"

    def widest(self) -> "FolderListing":
        return self

    def _check_classes(self, complain: Complain) -> None:
        """See that every split has images of every class, and no class that train has not."""
        splits = find_splits(self.root)
        present = {which: subfolders(folder) for which, folder in splits.items()}
        for name in self.classes or ():
            if name not in present["train"]:
                raise ConfigError(f"{self._key}: {unknown('class', name, present['train'])}")
        for which, folder in splits.items():
            lacking = [name for name in self.spec.names if name not in present[which]]
            alone = [name for name in present[which] if name not in present["train"]]
            if lacking or (alone and self.classes is None):
                differences = [f"lacks {', '.join(lacking)}"] if lacking else []
                differences += [f"has {', '.join(alone)} beside them"] if alone else []
                what = f"{' and '.join(differences)}; its class folders must be those of train/"
                complain("splits with other classes than train", folder, what)
            for name in self.spec.names:
                if name in present[which] and not images_below(folder / name):
                    complain("empty class folders", folder / name, "no image there")

    @property
    def _key(self) -> str:
        return f"data.sources.{self.dataset}.classes"


@family("dataset").register("image_folder", source="torchvision's ImageFolder; RaFD: Langner et al. 2010")
def image_folder(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str,
    classes: Classes = None,
    crop: Crop = None,
    flip: bool = True,
    unreadable: Unreadable = "stop",
    max_train: Limit = None,
    max_valid: Limit = None,
    max_test: Limit = None,
) -> PackedSource:
    """A tree of class folders, such as RaFD; an image belongs to one class.

    A picture's EXIF orientation is not heeded, as in the reference; ``data check`` names those that have one.

    Args:
        root: folder with ``train/<class>/…`` and ``test/<class>/…``, and ``valid/<class>/…`` if there is one.
        classes: those to take, in this order; null: all, sorted.
        crop: side in px of the centred square; null takes the largest.
        flip: mirror training images with probability 1/2.
        unreadable: ``stop`` at a file that is no image, or ``skip`` it.
        max_train, max_valid, max_test: take only so many, of all classes in turn.
    """
    listing = FolderListing(name, Path(root).expanduser(), classes)
    serving = Serving(crop, image_size, flip, (max_train, max_valid, max_test), unreadable)
    return PackedSource(listing, serving, outputs)


@family("dataset").register("synthexpressions", source="drawn here, see stargan_lab/data/renderer.py")
def synthexpressions(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str | None = None,
    classes: Classes = None,
    size: Side = None,
    train: Eight = 8_000,
    valid: Count = 500,
    test: Eight = 1_000,
    seed: Count = 0,
    difficulty: Difficulty = 0.5,
    crop: Crop = None,
    flip: bool = True,
) -> PackedSource:
    """Drawn faces with one of RaFD's eight expressions each, and their ground truth; draws itself when missing.

    Args:
        root: where the images are written; null: ``data/`` under the outputs, named after what is drawn.
        classes: the expressions to take, in this order; null: all eight, sorted. All are drawn.
        size: px of the drawn images; null: as large as they are used.
        train, valid, test: images per split, of all eight expressions together; a split has all of them, or no image.
        seed: of everything that is drawn; another one draws other faces.
        difficulty: 0 calm, muted backgrounds … 1 strongly coloured, striped ones and varied light.
        crop, flip: as of ``image_folder``.
    """
    for expression in classes or ():
        if expression not in faces.EXPRESSIONS:
            raise ConfigError(f"data.sources.{name}.classes: {unknown('expression', expression, faces.EXPRESSIONS)}")
    spec = SynthSpec(size or image_size, train, valid, test, seed, difficulty, "rafd")
    folder = Path(root).expanduser() if root else outputs / "data" / f"synthexpressions-{spec.fingerprint[:12]}"
    listing = FolderListing(name, folder, classes or faces.EXPRESSIONS)
    return PackedSource(listing, Serving(crop, image_size, flip), outputs, spec)
