"""The exact ground truth of a synthetic dataset for an evaluation, rendered once and cached under ``outputs/cache``.

Shapes: n images, A labels, V distinct target label vectors, g identities in the gallery.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from stargan_lab import files
from stargan_lab.data.pack_file import load_images
from stargan_lab.data.protocols import ImageSource
from stargan_lab.evaluation.context import Context
from stargan_lab.labels import target_labels

GALLERY = 100
"""Number of identities that an output is compared with."""


@dataclass(frozen=True)
class GroundTruthImages:
    """Ground truth for the first n test images and every target.

    Attributes:
        targets: (A, n, 3, H, W) uint8, memory-mapped: image i with target a.
        galleries: (V, g, 3, H, W) uint8, memory-mapped: the first g identities with each label vector; V may be 0.
        rows: (A, min(n, g)) index of the gallery that an output belongs to.
    """

    targets: np.ndarray
    galleries: np.ndarray
    rows: Tensor

    def images(self, domain: int, indices: range) -> Tensor:
        """(len(indices), 3, H, W) uint8."""
        return torch.from_numpy(np.array(self.targets[domain, indices.start : indices.stop]))

    def galleries_of(self, domain: int, indices: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions in ``indices`` with the (g, 3, H, W) uint8 gallery they share; none beyond the first g images."""
        rows = self.rows[domain, indices.start : indices.stop]
        for row in rows.unique().tolist():
            yield (rows == row).nonzero()[:, 0], torch.from_numpy(np.array(self.galleries[row]))


def ground_truth_images(source: ImageSource, context: Context) -> GroundTruthImages | None:
    """Ground truth of the test images; None for a dataset without it."""
    if source.ground_truth is None:
        return None
    spec, count = source.spec, context.count(source)
    labels = source.split("test").labels
    targets = torch.stack([target_labels(labels[:count], spec, a) for a in range(len(spec.names))])  # (A, n, A)
    identities = min(GALLERY, len(labels))
    requested = targets[:, :identities]
    vectors, rows = requested.flatten(0, 1).unique(dim=0, return_inverse=True)
    galleries = vectors[:, None].expand(-1, identities, -1)  # (V, g, A)
    images = draw(source, spec.names, targets, context)
    return GroundTruthImages(images, draw(source, spec.names, galleries, context), rows.view(requested.shape[:2]))


def cross_ground_truth(
    source: ImageSource, other: ImageSource, targets: Tensor, context: Context
) -> GroundTruthImages | None:
    """Ground truth of the test images of ``source`` with labels of ``other``, without galleries.

    Args:
        targets: (A, n, A) for the names of ``other``.
    """
    if source.ground_truth is None or other.ground_truth is None:
        return None
    images = draw(source, other.spec.names, targets, context, of=other.fingerprint)
    return GroundTruthImages(images, images[:0], torch.empty(len(targets), 0))


def draw(
    source: ImageSource, names: Sequence[str], labels: Tensor, context: Context, of: str | None = None
) -> np.ndarray:
    """The first m test images rendered with K × m labels for ``names``, cached under ``outputs/cache/ground_truth``.

    Args:
        source: a dataset with ground truth.
        labels: (K, m, len(names)) of 0 and 1.
        of: fingerprint of the dataset that the names belong to; None for the source itself.
    Returns:
        (K, m, 3, H, W) uint8, memory-mapped.
    """
    ground_truth, size = source.ground_truth, tuple(source.split("test").images([0]).shape[1:])
    assert ground_truth is not None
    digest = files.sha256_bytes([np.ascontiguousarray(labels.numpy().astype(np.uint8)).tobytes()])
    key = {"data": source.fingerprint, "split": "test", "labels": digest, "shape": [*labels.shape, *size], "version": 1}
    if of is not None:
        key |= {"names": list(names), "of": of}
    shape = (*labels.shape[:2], *size)

    def write(file: BinaryIO) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with context.bar(f"ground truth of {source.name}", len(labels)) as bar:
            for row in labels:
                for start in range(0, len(row), 500):
                    indices = range(start, min(start + 500, len(row)))
                    pixels = ground_truth.redraw("test", indices, names, row[start : indices.stop])
                    file.write(pixels.contiguous().numpy().tobytes())
                bar.update()

    folder = context.outputs / "cache" / "ground_truth"
    path = files.make_once(folder / f"{files.canonical_hash(key)[:16]}.npy", write)
    return load_images(path, shape, "render it again")
