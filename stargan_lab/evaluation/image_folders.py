"""Two sets of images on disk and the statistics of their features: what the Fréchet distance of two folders is made of.

Shapes: n images, D feature dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.errors import DataError, LabError, nearest
from stargan_lab.evaluation.extractors import Extractor, compute_features
from stargan_lab.evaluation.features import LARGEST_DIMS, batch_size, cache_key, cached_moments
from stargan_lab.evaluation.frechet import Array, Moments
from stargan_lab.evaluation.image_files import ENDINGS, Picture, batches, images_in, inside, look, pixels, threads

Gaussian = tuple[Array, Array]
"""(D,) mean and (D, D) covariance."""


class FolderImages(Protocol):
    """One side of a distance."""

    @property
    def path(self) -> Path: ...

    @property
    def count(self) -> int | None:
        """How many images; None where only statistics are there, which do not say it."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content; names of images have no part in it, but their order has."""
        ...

    @property
    def deep(self) -> int:
        """How many have more than 8 bits a channel: PIL's RGB, and so pytorch-fid's, cuts values above 255 off."""
        ...

    def gaussian(self, extractor: Extractor, outputs: Path, device: torch.device) -> Gaussian: ...


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, in the order of their names."""

    path: Path
    pictures: tuple[Picture, ...]

    @property
    def count(self) -> int:
        return len(self.pictures)

    @cached_property
    def fingerprint(self) -> str:
        return files.canonical_hash([picture.sha256 for picture in self.pictures])

    @property
    def deep(self) -> int:
        return sum(picture.mode[0] in "IF" for picture in self.pictures)

    def gaussian(self, extractor: Extractor, outputs: Path, device: torch.device) -> Gaussian:
        """Mean and covariance of the features, from ``outputs/cache/features`` where these images were measured before.

        Raises:
            DataError: an image cannot be decoded, or is not what it was when the folder was looked through.
            LabError: images of different sizes have different numbers of features, or far too many.
        """
        key = {
            "images": self.fingerprint,
            "extractor": cache_key(extractor, device),
            "what": "moments of a folder",
        }
        (moments,) = cached_moments(outputs, key, lambda: [self._measure(extractor, device)])
        return moments.mean, moments.covariance

    def _measure(self, extractor: Extractor, device: torch.device) -> Moments:
        """One batch of images in memory at a time."""
        moments: Moments | None = None
        title = f"{extractor.name} features of {self.path.name}"
        with threads() as pool, tqdm(total=self.count, desc=title, leave=False, disable=None) as bar:
            for batch in batches(self.pictures, batch_size(extractor, device)):
                rows = compute_features(extractor, torch.stack(list(pool.map(pixels, batch)))).numpy()
                moments = moments or _no_moments(rows.shape[1], extractor)
                if rows.shape[1] != len(moments.mean):
                    dims = f"{len(moments.mean)} and {rows.shape[1]}"
                    raise LabError(
                        f"{batch[0].path}: of another size than the images before it; {extractor.name!r} has {dims}"
                        " features of them, and needs one size"
                    )
                moments.update(rows)
                bar.update(len(batch))
        assert moments is not None, "a folder has images"
        return moments


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance that pytorch-fid saved (``--save-stats``); of which images and weights is not known."""

    path: Path
    fingerprint: str
    mean: Array
    covariance: Array
    count: None = None
    deep: int = 0

    def gaussian(self, extractor: Extractor, outputs: Path, device: torch.device) -> Gaussian:
        return self.mean, self.covariance


@dataclass(frozen=True)
class Place:
    """Where a side is: a folder and its files, or a file of statistics and none."""

    path: Path
    images: tuple[Path, ...] = ()


def find(place: str) -> Place:
    """What ``place`` names, without opening anything.

    Raises:
        DataError: it is not there, or a folder of fewer than two images.
    """
    path = Path(place).expanduser()
    if path.suffix.lower() == ".npz" and path.is_file():
        return Place(path)
    if path.is_file():
        raise DataError(f"{path}: expected a folder of images, or an .npz of pytorch-fid's --save-stats")
    if not path.is_dir():
        there = files.standing_parent(path.absolute().parent)
        missing = path.absolute().relative_to(there).parts[0]
        beside = [found.name for found in inside(there)] if there.is_dir() else []
        raise DataError(f"{path}: no such folder or file{nearest(missing, beside)}")
    images = images_in(path)
    if not images:
        within = [inner.name for inner in inside(path) if inner.is_dir() and images_in(inner)]
        raise DataError(f"{path}: no image in it, {_only(within)}")
    if len(images) == 1:
        raise DataError(f"{path}: one image in it; a covariance needs at least 2")
    return Place(path, images)


def examine(place: Place, dims: int) -> FolderImages:
    """Look ``place`` through: every image's header and content, or the shapes of the statistics.

    Args:
        dims: of the features that are asked for; 0 where only an image tells.
    Raises:
        DataError: an image is not readable, or the statistics are none of ``dims`` features.
    """
    if not place.images:
        return _read_statistics(place.path, dims)
    title = f"looking through {place.path.name}"
    with threads() as pool:
        seen = tqdm(pool.map(look, place.images), title, len(place.images), leave=False, disable=None)
        return ImageFolder(place.path, tuple(seen))


def _only(folders: Sequence[str]) -> str:
    if not folders:
        return f"looked for {', '.join(ENDINGS)}"
    named = ", ".join(folders[:3]) + (", …" if len(folders) > 3 else "")
    return f"only in folders within ({named}); name one of them"


def _no_moments(dims: int, extractor: Extractor) -> Moments:
    if dims > LARGEST_DIMS:
        raise LabError(
            f"{extractor.name!r} has {dims:,} features of an image, whose covariance takes gigabytes; up to"
            f" {LARGEST_DIMS:,} are taken: use smaller images or another extractor"
        )
    return Moments.empty(dims)


def _read_statistics(path: Path, dims: int) -> Statistics:
    try:
        with np.load(path, allow_pickle=False) as saved:
            mean, covariance = (np.asarray(saved[name], np.float64) for name in ("mu", "sigma"))
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: cannot be read as pytorch-fid's statistics, mu and sigma ({reason})") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{mean.shape} and {covariance.shape}"
        raise DataError(f"{path}: mu and sigma should be of shapes (D,) and (D, D), are {shapes}")
    if dims and len(mean) != dims:
        raise DataError(f"{path}: has statistics of {len(mean)} features, {dims} are asked for")
    if not np.isfinite(mean).all() or not np.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9):
        raise DataError(f"{path}: is no mean and covariance: has a value that is not finite, or sigma is not symmetric")
    if np.linalg.eigvalsh(covariance)[0] < -1e-6 * np.abs(np.diag(covariance)).max():
        raise DataError(f"{path}: sigma is no covariance: it has a negative eigenvalue")
    return Statistics(path, files.sha256_file(path), mean, covariance)
