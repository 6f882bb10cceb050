"""The two sides of ``stargan-lab fid``: directories of images or saved statistics, as mean and covariance of features.

Which files are images and how they become RGB follows pytorch-fid. Shapes: n images, D feature dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stargan_lab import console, files
from stargan_lab.data import image_reader
from stargan_lab.data.image_reader import ImageInfo, images_in, list_folder
from stargan_lab.errors import DataError, LabError, nearest, one_line, preview
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.features import (
    LARGEST_DIMS,
    batch_size,
    cache_key,
    cached_moments,
    compute_features,
    in_batches,
)
from stargan_lab.evaluation.frechet_distance import Array, Moments

Gaussian = tuple[Array, Array]
"""(D,) mean and (D, D) covariance."""
BATCH_BYTES = 1 << 30
"""Limit on the size of a batch of float32 images; a batch has at least one image."""


@dataclass(frozen=True)
class ImageFolder:
    """The images of a directory, in name order."""

    path: Path
    images: tuple[ImageInfo, ...]

    @property
    def count(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the images' contents in name order; their names are not part of it."""
        return files.canonical_hash([image.sha256 for image in self.images])

    @property
    def high_bit_depth(self) -> int:
        """Number of images with more than 8 bits per channel, which pytorch-fid clips at 255."""
        return sum(image.mode[0] in "IF" for image in self.images)

    def gaussian(self, extractor: Extractor, outputs: Path, device: torch.device) -> Gaussian:
        """Mean and covariance of the features, cached in ``outputs/cache/features``.

        Raises:
            DataError: an image cannot be decoded, or changed since ``examine``.
            LabError: the number of features depends on the image size and sizes differ, or it is above the limit.
        """
        key = {"images": self.fingerprint, "extractor": cache_key(extractor, device), "what": "moments of a folder"}
        (moments,) = cached_moments(outputs, key, lambda: [self._measure(extractor, device)])
        return moments.mean, moments.covariance

    def _measure(self, extractor: Extractor, device: torch.device) -> Moments:
        """Compute the moments, with one batch of images in memory at a time."""
        moments: Moments | None = None
        title = f"{extractor.name} features of {self.path.name}"
        with (
            image_reader.reader_threads() as pool,
            console.bar(title, self.count) as bar,
        ):
            for batch in batches(self.images, batch_size(extractor, device)):
                rows = compute_features(extractor, torch.stack(list(pool.map(read_pixels, batch)))).numpy()
                moments = moments or _empty_moments(rows.shape[1], extractor)
                if rows.shape[1] != len(moments.mean):
                    raise LabError(
                        f"{batch[0].path}: image size differs from earlier images; {extractor.name!r} needs images of"
                        f" one size ({len(moments.mean)} and {rows.shape[1]} features)"
                    )
                moments.update(rows)
                bar.update(len(batch))
        assert moments is not None, "a directory has images"
        return moments


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance saved by pytorch-fid (``--save-stats``), which do not record their images or weights."""

    path: Path
    fingerprint: str
    mean: Array
    covariance: Array
    count: None = None
    high_bit_depth: int = 0

    def gaussian(self, extractor: Extractor, outputs: Path, device: torch.device) -> Gaussian:
        return self.mean, self.covariance


FolderImages = ImageFolder | Statistics


def find(argument: str) -> tuple[Path, list[Path]]:
    """A directory and its image files, or a file of statistics and no images, without opening any file.

    Raises:
        DataError: there is no such file or directory, or the directory has fewer than two images.
    """
    path = Path(argument).expanduser()
    if path.suffix.lower() == ".npz" and path.is_file():
        return path, []
    if path.is_file():
        raise DataError(f"{path}: expected a directory of images, or an .npz from pytorch-fid --save-stats")
    if not path.is_dir():
        parent = files.existing_parent(path.absolute().parent)
        missing = path.absolute().relative_to(parent).parts[0]
        siblings = [entry.name for entry in list_folder(parent)] if parent.is_dir() else []
        raise DataError(f"{path}: no such file or directory{nearest(missing, siblings)}")
    images = images_in(path)
    if not images:
        subfolders = [entry.name for entry in list_folder(path) if entry.is_dir() and images_in(entry)]
        extensions = ", ".join(image_reader.IMAGE_EXTENSIONS)
        hint = f"only in subfolders: {preview(subfolders)}" if subfolders else extensions
        raise DataError(f"{path}: no images found ({hint})")
    if len(images) == 1:
        raise DataError(f"{path}: found only one image; a covariance needs at least 2")
    return path, images


def examine(path: Path, images: Sequence[Path], dims: int) -> FolderImages:
    """Read every image's header and content hash, or the statistics.

    Args:
        path, images: see ``find``.
        dims: D, checked against the statistics; 0 if it depends on the image size.
    Raises:
        DataError: an image is unreadable, or the statistics are invalid.
    """
    if not images:
        return _read_statistics(path, dims)
    return ImageFolder(path, tuple(image_reader.map_files(image_reader.read_info, images, f"reading {path.name}")))


def read_pixels(image: ImageInfo) -> Tensor:
    """(3, H, W) uint8. Raises DataError when the file is damaged or has changed."""
    content = image_reader.read_bytes(image.path)
    if files.sha256_bytes([content]) != image.sha256:
        raise DataError(f"{image.path}: changed while its directory was being read; run again")
    rgb = image_reader.decode(content, image.path, image_reader.to_rgb_clipped)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)


def batches(images: Sequence[ImageInfo], at_once: int) -> Iterator[Sequence[ImageInfo]]:
    """Batches of images of one size each, sorted by size, then in the given order."""
    by_size = sorted(images, key=lambda image: image.size)
    for (width, height), group in groupby(by_size, key=lambda image: image.size):
        limit = BATCH_BYTES // (width * height * 3 * 4)
        yield from in_batches(list(group), max(1, min(at_once, limit)))


def _empty_moments(dims: int, extractor: Extractor) -> Moments:
    if dims > LARGEST_DIMS:
        raise LabError(
            f"{extractor.name!r} has {dims:,} features per image; a covariance supports up to {LARGEST_DIMS:,}; use"
            " smaller images or another extractor"
        )
    return Moments.empty(dims)


def _read_statistics(path: Path, dims: int) -> Statistics:
    try:
        with np.load(path, allow_pickle=False) as saved:
            mean, covariance = (np.asarray(saved[name], np.float64) for name in ("mu", "sigma"))
    except Exception as error:
        raise DataError(f"{path}: cannot read pytorch-fid's mu and sigma ({one_line(error)})") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{mean.shape} and {covariance.shape}"
        raise DataError(f"{path}: expected mu and sigma of shapes (D,) and (D, D), got {shapes}")
    if dims and len(mean) != dims:
        raise DataError(f"{path}: statistics of {len(mean)} features, expected {dims}")
    if not np.isfinite(mean).all() or not np.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9):
        raise DataError(f"{path}: mu is not finite, or sigma is not finite and symmetric")
    if np.linalg.eigvalsh(covariance)[0] < -1e-6 * np.abs(np.diag(covariance)).max():
        raise DataError(f"{path}: sigma is not a covariance: it has a negative eigenvalue")
    return Statistics(path, files.sha256_file(path), mean, covariance)
