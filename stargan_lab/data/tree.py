"""A tree of class folders as it lies on disk, and what a tree that is none probably is."""

import os
from collections.abc import Sequence
from pathlib import Path

from stargan_lab.data.annotations import ATTRIBUTE_FILE, SPLITS
from stargan_lab.data.transforms import IMAGE_ENDINGS as IMAGES
from stargan_lab.errors import DataError

_FORM = "train/<class>/… and test/<class>/…"


def first(names: Sequence[str], count: int = 3) -> str:
    """The first few names, for a line."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def find_splits(root: Path) -> dict[str, Path]:
    """The folders of the splits, train and test among them.

    Raises:
        DataError: says what was found instead and what to do about it.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected images there in {_FORM}")
    found = {which: root / which for which in SPLITS if (root / which).is_dir()}
    if "train" in found and "test" in found:
        for folder in found.values():
            _check_split(folder)
        return found
    raise DataError(f"{root}: {_mistake(root, found)}")


def _check_split(folder: Path) -> None:
    if subfolders(folder):
        return
    loose = loose_images(folder)
    what = f"{len(loose):,} images lie there without class folders ({first(loose, 1)})" if loose else "it is empty"
    raise DataError(f"{folder}: {what}; expected a folder of images per class, {folder.name}/<class>/…")


def _mistake(root: Path, found: dict[str, Path]) -> str:
    """What a folder without train or test probably is."""
    folders, loose = subfolders(root), loose_images(root)
    if found:
        there, lacking = " and ".join(f"{which}/" for which in found), "test" if "train" in found else "train"
        advice = "hold some images of each class out there" if lacking == "test" else "the other images belong there"
        return f"there is {there} but no {lacking}/; {advice}, {lacking}/<class>/…"
    if root.absolute().name in SPLITS and (folders or loose):
        return f"this is the folder of one split; set root to the folder above it, {root.parent}"
    if (root / ATTRIBUTE_FILE).exists():
        return f"holds {ATTRIBUTE_FILE}, so it is in CelebA's form; use kind: celeba"
    with_images = [name for name in folders if loose_images(root / name)]
    if with_images:
        return (
            f"{len(with_images)} class folders lie there directly ({first(with_images)}), without train/ and test/;"
            " move them into train/, and some images of each class into test/<class>/"
        )
    if loose:
        return f"{len(loose):,} images lie there without class folders ({first(loose, 1)}); expected {_FORM}"
    return f"expected images there in {_FORM}, found {first(folders) if folders else 'nothing'}"


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in ``folder``, sorted, without hidden ones; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def loose_images(folder: Path) -> list[str]:
    """Names of the images that lie in ``folder`` itself, sorted."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.is_file())


def files_below(folder: Path) -> list[str]:
    """Every file below ``folder`` at any depth, relative to it, in torchvision's order."""
    found = []
    for where, _, names in sorted(os.walk(folder, followlinks=True)):
        found += [str((Path(where) / name).relative_to(folder).as_posix()) for name in sorted(names)]
    return found


def images_below(folder: Path) -> list[str]:
    return [name for name in files_below(folder) if name.lower().endswith(IMAGES)]
