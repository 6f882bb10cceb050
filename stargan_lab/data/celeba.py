"""Datasets in CelebA's form: real CelebA, and SynthFaces, which draws itself and is then read by the very same code."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from stargan_lab.data.annotations import (
    ATTRIBUTE_FILE,
    CELEBA_ATTRIBUTES,
    PARTITION_FILE,
    SPLITS,
    AttributeList,
    Complain,
    Split,
    read_attributes,
    read_lines,
    read_partition,
    refuse,
    split_rows,
)
from stargan_lab.data.listing import SplitRows
from stargan_lab.data.packed_source import Count, Crop, Difficulty, Limit, Many, PackedSource, Serving, Side, Unreadable
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces.dataset import SynthSpec, read_spec
from stargan_lab.errors import ConfigError, DataError, unknown
from stargan_lab.labels import LabelSpec
from stargan_lab.registry import family

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Groups = tuple[tuple[str, ...], ...]
HAIR: Groups = (("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),)
"""The hair colours the reference lets exclude each other (its Bald is not one)."""
IMAGE_FOLDERS = ("images", "img_align_celeba")


@dataclass(frozen=True)
class CelebAListing:
    """A folder in CelebA's form (a ``Listing``).

    Attributes:
        attributes: the labels, in this order.
        groups: labels that exclude each other; those that are not among ``attributes`` do not matter.
    """

    dataset: str
    root: Path
    attributes: tuple[str, ...]
    split: Split
    groups: Groups

    def __post_init__(self) -> None:
        if len(set(self.attributes)) < len(self.attributes) or not self.attributes:
            raise ConfigError(f"{self._key}.attributes: expected different names, got {list(self.attributes)}")
        check_groups(f"{self._key}.exclusive", self.groups)

    @cached_property
    def spec(self) -> LabelSpec:
        chosen = [tuple(name for name in group if name in self.attributes) for group in self.groups]
        return LabelSpec(self.dataset, self.attributes, "binary", tuple(group for group in chosen if group))

    @property
    def folder(self) -> Path:
        found = [self.root / folder for folder in IMAGE_FOLDERS if (self.root / folder).is_dir()]
        if not found:
            raise DataError(
                f"{self.root}: expected CelebA there: images/ (or img_align_celeba/), list_attr_celeba.txt and"
                " list_eval_partition.txt; data=synthfaces trains on drawn faces instead"
            )
        return found[0]

    def rows(self, complain: Complain = refuse) -> dict[str, SplitRows]:
        _ = self.folder  # first, since it says what is expected here
        listed = read_attributes(self.root / ATTRIBUTE_FILE, complain)
        check_known(f"{self._key}.exclusive", self.groups, listed.attributes)
        if read_spec(self.root) is not None:
            check_drawn(f"{self._key}.exclusive", self.groups, self.attributes)
        everything = SplitRows(list(listed.files), listed.columns(self.attributes))
        return {which: everything.take(rows) for which, rows in split_rows(listed, self.split, complain).items()}

    def selection(self) -> list[object]:
        return [self.split]

    def file_names(self, spec: SynthSpec, which: str) -> list[str]:
        by_split = {part: spec.file_names(part) for part in SPLITS}
        if self.split == "official":
            return by_split[which]
        everything = tuple(name for names in by_split.values() for name in names)
        listed = AttributeList(self.root / ATTRIBUTE_FILE, (), everything, np.empty((len(everything), 0)))
        return [everything[row] for row in split_rows(listed, self.split).get(which, [])]

    def remarks(self) -> Iterator[tuple[str, str]]:
        lines = read_lines(self.root / ATTRIBUTE_FILE)
        if lines[0].strip() != str(len(lines) - 2):
            yield "wrong counts in line 1 of the attribute list", f"{lines[0].strip()!r} for {len(lines) - 2} lines"
        listed = {line.split()[0] for line in lines[2:] if line.strip()}
        with os.scandir(self.folder) as entries:
            present = sorted(entry.name for entry in entries if entry.is_file())
        for name in present:
            if name not in listed:
                yield "files present but not listed", name
        if self.split == "official" and (self.root / PARTITION_FILE).exists():
            for name in read_partition(self.root / PARTITION_FILE, lambda *flaw: None):
                if name not in listed:
                    yield "files with a split but no attributes", name

    def widest(self) -> "CelebAListing":
        lines = read_lines(self.root / ATTRIBUTE_FILE)
        named = lines[1].split() if len(lines) > 1 else []
        names = tuple(dict.fromkeys([*self.attributes, *named]))
        return replace(self, attributes=names, groups=faces.EXCLUSIVE)

    @property
    def _key(self) -> str:
        return f"data.sources.{self.dataset}"


def check_groups(key: str, groups: Groups) -> None:
    """See that no label is in two groups that exclude each other, or twice in one. Raises ConfigError."""
    members = [name for group in groups for name in group]
    for name in members:
        if members.count(name) > 1:
            raise ConfigError(f"{key}: {name!r} stands there twice; a label is in one group at most")


def check_known(key: str, groups: Groups, attributes: Sequence[str]) -> None:
    """See that groups name attributes of the dataset, or of CelebA: a smaller list needs no other groups.

    Raises:
        ConfigError: names the nearest.
    """
    known = set(attributes) | set(CELEBA_ATTRIBUTES)
    for group in groups:
        for name in group:
            if name not in known:
                raise ConfigError(f"{key}: {unknown('attribute', name, known)}")


def check_drawn(key: str, groups: Groups, attributes: Sequence[str]) -> None:
    """See that a target never asks for a face that cannot be drawn. Raises ConfigError."""
    for together in faces.EXCLUSIVE:
        selected = [name for name in together if name in attributes]
        if len(selected) > 1 and not any(set(selected) <= set(group) for group in groups):
            raise ConfigError(
                f"{key}: a drawn face cannot have two of {', '.join(selected)}, which a target would ask for;"
                f" expected them in one group, got {[list(group) for group in groups]}"
            )


@family("dataset").register("celeba", source="Liu et al. 2015; split, crop and hair colours: yunjey/stargan")
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
    """CelebA from a folder, or anything in its form.

    A picture's EXIF orientation is not heeded, as in the reference; ``data check`` names those that have one.

    Args:
        root: folder with ``images/`` (or ``img_align_celeba/``), ``list_attr_celeba.txt``, ``list_eval_partition.txt``.
        attributes: the labels, in this order.
        split: ``official``, or the reference's own: 1,999 test images, no validation, identities mixed.
        crop: side in px of the centred square; null takes the largest.
        flip: mirror training images with probability 1/2.
        exclusive: groups of attributes of which a target sets one and clears the rest.
        unreadable: ``stop`` at a file that is missing or no image and at a flawed row of a list, or ``skip`` them.
        max_train, max_valid, max_test: take only the first so many that are listed.
    """
    listing = CelebAListing(name, Path(root).expanduser(), tuple(attributes), split, exclusive)
    serving = Serving(crop, image_size, flip, (max_train, max_valid, max_test), unreadable)
    return PackedSource(listing, serving, outputs)


@family("dataset").register("synthfaces", source="drawn here, see stargan_lab/data/renderer.py")
def synthfaces(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str | None = None,
    attributes: Names = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young", "Oval_Face"),
    split: Split = "official",
    size: Side = None,
    train: Many = 8_000,
    valid: Count = 500,
    test: Many = 1_000,
    seed: Count = 0,
    difficulty: Difficulty = 0.5,
    crop: Crop = None,
    flip: bool = True,
    exclusive: Groups = HAIR,
) -> PackedSource:
    """Drawn faces, of which every image's ground truth under every label is known; draws itself when missing.

    Args:
        root: where the images are written; null: ``data/`` under the outputs, named after what is drawn.
        attributes: the labels, in this order; of the optional ones, these and no others vary in the images.
        size: px of the drawn images; null: as large as they are used.
        train, valid, test: images per split; image i is the same whatever the number.
        seed: of everything that is drawn; another one draws other faces.
        difficulty: 0 calm, muted backgrounds … 1 strongly coloured, striped ones and varied light.
        split, crop, flip, exclusive: as of ``celeba``.
    """
    for attribute in attributes:
        if attribute not in faces.ATTRIBUTES:
            raise ConfigError(f"data.sources.{name}.attributes: {unknown('attribute', attribute, faces.ATTRIBUTES)}")
    check_known(f"data.sources.{name}.exclusive", exclusive, faces.ATTRIBUTES)
    check_drawn(f"data.sources.{name}.exclusive", exclusive, attributes)
    vary = tuple(attribute for attribute in faces.OPTIONAL if attribute in attributes)
    spec = SynthSpec(size or image_size, train, valid, test, seed, difficulty, "celeba", vary)
    folder = Path(root).expanduser() if root else outputs / "data" / f"synthfaces-{spec.fingerprint[:12]}"
    listing = CelebAListing(name, folder, tuple(attributes), split, exclusive)
    return PackedSource(listing, Serving(crop, image_size, flip), outputs, spec)
