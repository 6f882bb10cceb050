"""Class directories as in torchvision's ImageFolder: ``train/<class>/…``, ``test/<class>/…``, optionally ``valid``."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from stargan_lab.data.celeba_annotations import ATTRIBUTE_FILE
from stargan_lab.data.image_reader import files_below, images_in, is_image, list_folder
from stargan_lab.data.options import SPLITS, Crop, ImageOptions, Limit, Unreadable
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.problems import ProblemHandler, raise_problem
from stargan_lab.data.protocols import SplitFiles
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.errors import ConfigError, DataError, preview, unknown
from stargan_lab.labels import LabelSpec
from stargan_lab.registry import family

Classes = Annotated[tuple[str, ...], Field(min_length=2)] | None
_LAYOUT = "train/<class>/… and test/<class>/…"


@dataclass(frozen=True)
class FolderListing:
    """Class directories (a ``Listing``). Files alternate between classes, so that the first n cover all classes.

    Attributes:
        classes: the classes to use, in this order; None: all classes of train, sorted.

    Raises ConfigError for fewer than two classes or duplicates.
    """

    dataset: str
    root: Path
    classes: tuple[str, ...] | None

    def __post_init__(self) -> None:
        if self.classes is not None and (len(set(self.classes)) < len(self.classes) or len(self.classes) < 2):
            raise ConfigError(
                f"{self._key}: expected two or more distinct names, or null for all, got {list(self.classes)}"
            )

    @cached_property
    def spec(self) -> LabelSpec:
        names = self.classes or tuple(_subfolders(find_splits(self.root)["train"]))
        if len(names) < 2:
            raise DataError(f"{self.root / 'train'}: found only class {names[0]!r}; translation needs at least two")
        return LabelSpec(self.dataset, names, "categorical")

    @property
    def folder(self) -> Path:
        return self.root

    def splits(self, on_problem: ProblemHandler = raise_problem) -> dict[str, SplitFiles]:
        self._check_classes(on_problem)
        names, splits = self.spec.names, {}
        for which in SPLITS:
            images = [_images_below(self.root / which / name) for name in names]
            ranked = sorted((rank, label) for label, files in enumerate(images) for rank in range(len(files)))
            if ranked:
                paths = [f"{which}/{names[label]}/{images[label][rank]}" for rank, label in ranked]
                labels = np.eye(len(names), dtype=np.float32)[[label for _, label in ranked]]
                splits[which] = SplitFiles(paths, labels)
        return splits

    def split_options(self) -> list[object]:
        return ["folders"]

    def generated_names(self, spec: SynthSpec, which: str) -> list[str]:
        return [name for name in spec.file_names(which) if Path(name).parts[1] in self.spec.names]

    def notes(self) -> Iterator[tuple[str, str]]:
        for name in _subfolders(self.root):
            if name not in SPLITS:
                yield "directories other than train, valid and test", name
        for folder in (self.root / which for which in SPLITS if (self.root / which).is_dir()):
            for path in images_in(folder):
                yield "images outside class directories", f"{folder.name}/{path.name}"
            for name in _subfolders(folder):
                if name not in self.spec.names:
                    yield "unselected classes", f"{folder.name}/{name}"
                    continue
                for file in files_below(folder / name):
                    if not is_image(file):
                        yield "unlisted files", f"{folder.name}/{name}/{file}"

    def with_all_labels(self) -> "FolderListing":
        return self

    def _check_classes(self, on_problem: ProblemHandler) -> None:
        """Check that every split has the classes of train, and images of each class."""
        splits = find_splits(self.root)
        present = {which: _subfolders(folder) for which, folder in splits.items()}
        for name in self.classes or ():
            if name not in present["train"]:
                raise ConfigError(f"{self._key}: {unknown('class', name, present['train'])}")
        for which, folder in splits.items():
            missing = [name for name in self.spec.names if name not in present[which]]
            extra = [name for name in present[which] if name not in present["train"]]
            if missing or (extra and self.classes is None):
                differences = [f"missing {', '.join(missing)}"] if missing else []
                differences += [f"extra {', '.join(extra)}"] if extra else []
                problem = f"class directories differ from train/: {'; '.join(differences)}"
                on_problem("splits whose classes differ from train", folder, problem)
            for name in self.spec.names:
                if name in present[which] and not _images_below(folder / name):
                    on_problem("empty class directories", folder / name, "contains no images")

    @property
    def _key(self) -> str:
        return f"data.sources.{self.dataset}.classes"


def find_splits(root: Path) -> dict[str, Path]:
    """The directories of the splits; train and test are required.

    Raises:
        DataError: the layout is wrong; the message describes the directory and suggests a fix.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such directory; expected {_LAYOUT}")
    splits = {which: root / which for which in SPLITS if (root / which).is_dir()}
    if "train" not in splits or "test" not in splits:
        raise DataError(f"{root}: {_layout_problem(root, list(splits))}")
    for folder in splits.values():
        if not _subfolders(folder):
            raise DataError(f"{folder}: {_contents(folder)}; expected {folder.name}/<class>/…")
    return splits


def _layout_problem(root: Path, splits: list[str]) -> str:
    """A guess at the layout of a directory without train or test."""
    folders = _subfolders(root)
    if splits:
        missing = "test" if "train" in splits else "train"
        return f"found {' and '.join(f'{which}/' for which in splits)} but no {missing}/; expected {_LAYOUT}"
    if root.absolute().name in SPLITS:
        return f"this is a single split; set root to its parent, {root.parent}"
    if (root / ATTRIBUTE_FILE).exists():
        return f"contains {ATTRIBUTE_FILE}, so it has CelebA's layout; set kind=celeba"
    if classes := [name for name in folders if images_in(root / name)]:
        return f"found class directories ({preview(classes)}) but no train/ and test/; expected {_LAYOUT}"
    return f"{_contents(root)}; expected {_LAYOUT}"


def _contents(folder: Path) -> str:
    """One line on what ``folder`` contains instead of class directories."""
    if images := [path.name for path in images_in(folder)]:
        return f"found images outside class directories ({preview(images)})"
    return f"found {preview(_subfolders(folder)) or 'no directories'}"


def _subfolders(folder: Path) -> list[str]:
    """Names of the non-hidden directories in ``folder``, sorted."""
    return [path.name for path in list_folder(folder) if path.is_dir() and not path.name.startswith(".")]


def _images_below(folder: Path) -> list[str]:
    return [name for name in files_below(folder) if is_image(name)]


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
    """Class directories, e.g. RaFD; each image has exactly one class.

    EXIF orientation is ignored, as in the reference; ``data check`` lists the images that have one.

    Args:
        root: directory with ``train/<class>/…``, ``test/<class>/…`` and optionally ``valid/<class>/…``.
        classes: the classes to use, in this order; null: all, sorted.
        crop: side of the centered square in px; null: the shorter side.
        flip: flip training images left to right with probability 1/2.
        unreadable: ``stop`` at damaged images, or ``skip`` them.
        max_train, max_valid, max_test: maximum number of images, balanced over classes; null: all.
    """
    listing = FolderListing(name, Path(root).expanduser(), classes)
    options = ImageOptions(crop, image_size, flip, (max_train, max_valid, max_test), unreadable)
    return PackedSource(listing, options, outputs)
