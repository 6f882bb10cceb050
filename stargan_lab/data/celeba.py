"""CelebA, or any directory in its layout: one directory of images, an attribute file and a partition file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from stargan_lab.data import celeba_annotations as annotations
from stargan_lab.data.celeba_annotations import ATTRIBUTE_FILE, PARTITION_FILE
from stargan_lab.data.options import SPLITS, Crop, ImageOptions, Limit, Split, Unreadable
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.problems import ProblemHandler, ignore_problem, raise_problem
from stargan_lab.data.protocols import SplitFiles
from stargan_lab.data.synthfaces.identity import EXCLUSIVE
from stargan_lab.data.synthfaces.spec import SynthSpec, read_spec
from stargan_lab.errors import ConfigError, DataError, unknown
from stargan_lab.labels import LabelSpec
from stargan_lab.registry import family

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Groups = tuple[tuple[str, ...], ...]
HAIR: Groups = (("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),)
"""The reference's mutually exclusive hair colors, which do not include Bald."""
IMAGE_FOLDERS = ("images", "img_align_celeba")


@dataclass(frozen=True)
class CelebAListing:
    """A directory in CelebA's layout (a ``Listing``).

    Attributes:
        attributes: the labels, in this order.
        groups: mutually exclusive labels; those not among ``attributes`` are ignored.

    Raises ConfigError for duplicate attributes, or a label in two groups.
    """

    dataset: str
    root: Path
    attributes: tuple[str, ...]
    split: Split
    groups: Groups

    def __post_init__(self) -> None:
        if len(set(self.attributes)) < len(self.attributes) or not self.attributes:
            raise ConfigError(f"{self._key}.attributes: expected distinct names, got {list(self.attributes)}")
        members = [name for group in self.groups for name in group]
        for name in members:
            if members.count(name) > 1:
                raise ConfigError(f"{self._key}.exclusive: {name!r} appears twice; a label can be in only one group")

    @cached_property
    def spec(self) -> LabelSpec:
        selected = [tuple(name for name in group if name in self.attributes) for group in self.groups]
        return LabelSpec(self.dataset, self.attributes, "binary", tuple(group for group in selected if group))

    @property
    def folder(self) -> Path:
        folders = [self.root / name for name in IMAGE_FOLDERS if (self.root / name).is_dir()]
        if not folders:
            raise DataError(
                f"{self.root}: expected CelebA's layout: images/ (or img_align_celeba/), {ATTRIBUTE_FILE} and"
                f" {PARTITION_FILE}; set {self._key}.root, or data=synthfaces to train on synthetic faces"
            )
        return folders[0]

    def splits(self, on_problem: ProblemHandler = raise_problem) -> dict[str, SplitFiles]:
        _ = self.folder  # raises if missing, with the expected layout
        listed = annotations.read_attributes(self.root / ATTRIBUTE_FILE, on_problem)
        check_known(f"{self._key}.exclusive", self.groups, listed.attributes)
        if read_spec(self.root) is not None:
            check_renderable(f"{self._key}.exclusive", self.groups, self.attributes)
        every = SplitFiles(list(listed.files), listed.columns(self.attributes))
        return {
            which: every.select(rows) for which, rows in annotations.split_rows(listed, self.split, on_problem).items()
        }

    def split_options(self) -> list[object]:
        return [self.split]

    def generated_names(self, spec: SynthSpec, which: str) -> list[str]:
        if self.split == "official":
            return spec.file_names(which)
        names = tuple(name for part in SPLITS for name in spec.file_names(part))
        listed = annotations.AttributeList(self.root / ATTRIBUTE_FILE, (), names, np.empty((len(names), 0)))
        return [names[row] for row in annotations.split_rows(listed, self.split).get(which, [])]

    def notes(self) -> Iterator[tuple[str, str]]:
        total, _, rows = annotations.split_attribute_file(self.root / ATTRIBUTE_FILE)
        if total != str(len(rows)):
            yield "wrong counts in line 1 of the attribute file", f"{total!r} for {len(rows)} rows"
        listed = {row[0] for row in rows if row}
        with os.scandir(self.folder) as entries:
            present = sorted(entry.name for entry in entries if entry.is_file())
        for name in present:
            if name not in listed:
                yield "unlisted files", name
        if self.split == "official" and (self.root / PARTITION_FILE).exists():
            for name in annotations.read_partition(self.root / PARTITION_FILE, ignore_problem):
                if name not in listed:
                    yield "files with a split but no attributes", name

    def with_all_labels(self) -> "CelebAListing":
        every = annotations.split_attribute_file(self.root / ATTRIBUTE_FILE).attributes
        names = tuple(dict.fromkeys([*self.attributes, *every]))
        return replace(self, attributes=names, groups=EXCLUSIVE)

    @property
    def _key(self) -> str:
        return f"data.sources.{self.dataset}"


def check_known(key: str, groups: Groups, attributes: Sequence[str]) -> None:
    """Raises ConfigError for a group member that is neither in ``attributes`` nor one of CelebA's 40.

    CelebA's names are always allowed, so that the default groups also suit datasets with fewer attributes.
    """
    known = set(attributes) | set(annotations.CELEBA_ATTRIBUTES)
    for name in (name for group in groups for name in group):
        if name not in known:
            raise ConfigError(f"{key}: {unknown('attribute', name, known)}")


def check_renderable(key: str, groups: Groups, attributes: Sequence[str]) -> None:
    """Raises ConfigError when a target could combine labels that SynthFaces cannot render together."""
    for exclusive in EXCLUSIVE:
        selected = [name for name in exclusive if name in attributes]
        if len(selected) > 1 and not any(set(selected) <= set(group) for group in groups):
            raise ConfigError(
                f"{key}: a SynthFaces face has at most one of {', '.join(selected)}; put them in one group,"
                f" got {[list(group) for group in groups]}"
            )


@family("dataset").register("celeba", source="Liu et al. 2015; split, crop and hair colors: yunjey/stargan")
def celeba(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str,
    attributes: Names,
    split: Split = "official",
    crop: Crop = 178,
    flip: bool = True,
    exclusive: Groups = HAIR,
    unreadable: Unreadable = "stop",
    max_train: Limit = None,
    max_valid: Limit = None,
    max_test: Limit = None,
) -> PackedSource:
    """CelebA, or any directory in its layout.

    EXIF orientation is ignored, as in the reference; ``data check`` lists the images that have one.

    Args:
        root: directory with ``images/`` (or ``img_align_celeba/``), ``list_attr_celeba.txt`` and
            ``list_eval_partition.txt``.
        attributes: the labels, in this order.
        split: ``official``, or ``reference``: 1,999 test images, no validation, identities shared between splits.
        crop: side of the centered square in px; null: the shorter side.
        flip: flip training images left to right with probability 1/2.
        exclusive: groups of mutually exclusive attributes; setting one as the target clears the others.
        unreadable: ``stop`` at missing or damaged images and malformed rows, or ``skip`` them.
        max_train, max_valid, max_test: maximum number of images, from the start of the list; null: all.
    """
    listing = CelebAListing(name, Path(root).expanduser(), tuple(attributes), split, exclusive)
    options = ImageOptions(crop, image_size, flip, (max_train, max_valid, max_test), unreadable)
    return PackedSource(listing, options, outputs)
