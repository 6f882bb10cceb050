"""The exact ground truth of a drawn dataset for one scoring, drawn once and kept under ``outputs/cache/ground_truth``.

Shapes: n images, A labels, V distinct target label vectors, g identities in the gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab import files
from stargan_lab.data.protocols import ImageSource
from stargan_lab.evaluation import ground_truth_scores as counterfactual
from stargan_lab.labels import target_labels

GALLERY = 100
"""Identities an output is compared with."""


@dataclass(frozen=True)
class GroundTruthImages:
    """Right answers for the first n test images under every target.

    Attributes:
        targets: (A, n, 3, H, W) uint8, memory-mapped: image i under target a.
        galleries: (V, g, 3, H, W) uint8, memory-mapped: the first g identities under each label vector.
        rows: (A, min(n, g)) which gallery an output belongs to.
    """

    targets: np.ndarray
    galleries: np.ndarray
    rows: Tensor

    def of(self, domain: int, indices: range) -> Tensor:
        """(len(indices), 3, H, W) uint8."""
        return torch.from_numpy(np.array(self.targets[domain, indices.start : indices.stop]))

    def scores(self, x: Tensor, y: Tensor, domain: int, indices: range) -> dict[str, Tensor]:
        """Edit, leak and identity of outputs ``y`` of ``x``, both (n, 3, H, W) uint8; NaN where one does not apply."""
        before, after, right = x.double() / 255, y.double() / 255, self.of(domain, indices).double() / 255
        return {
            "edit": counterfactual.edit(before, after, right),
            "leak": counterfactual.leak(before, after, right),
            "identity": self._identity(after, domain, indices),
        }

    def _identity(self, y: Tensor, domain: int, indices: range) -> Tensor:
        own = torch.arange(indices.start, indices.stop)
        hits = torch.full((len(y),), torch.nan, dtype=torch.float64)
        rows = self.rows[domain, indices.start : indices.stop]  # shorter than y past the gallery's end
        for row in rows.unique().tolist():
            gallery = torch.from_numpy(np.array(self.galleries[row])).double() / 255
            chosen = (rows == row).nonzero()[:, 0]
            hits[chosen] = counterfactual.identity(y[chosen], gallery, own[chosen])
        return hits


def ground_truth_images(
    source: ImageSource, split: str, count: int, outputs: Path, progress: bool = True
) -> GroundTruthImages | None:
    """The answers for the first ``count`` images of ``split``; None for a dataset that cannot redraw its images."""
    if source.ground_truth is None:
        return None
    images = source.split(split)
    spec = source.spec
    targets = torch.stack([target_labels(images.labels[:count], spec, a) for a in range(len(spec.names))])  # (A, n, A)
    identities = min(GALLERY, len(images))
    asked = targets[:, :identities]
    vectors, rows = asked.flatten(0, 1).unique(dim=0, return_inverse=True)
    galleries = vectors[:, None].expand(-1, identities, -1)  # (V, g, A)
    folder = outputs / "cache" / "truth"
    return GroundTruthImages(
        drawn(source, split, spec.names, targets, folder, progress),
        drawn(source, split, spec.names, galleries, folder, progress),
        rows.view(asked.shape[:2]),
    )


def drawn(
    source: ImageSource,
    split: str,
    names: Sequence[str],
    labels: Tensor,
    folder: Path,
    progress: bool,
    of: str | None = None,
) -> np.ndarray:
    """The first m images of ``split`` drawn with K × m labels under ``names``, kept under ``folder``.

    Args:
        source: one that has a ground truth.
        labels: (K, m, len(names)) of 0 and 1.
        of: fingerprint of the dataset whose names they are; None: the source's own.
    Returns:
        (K, m, 3, H, W) uint8, memory-mapped.
    """
    ground_truth, size = source.ground_truth, tuple(source.split(split).images([0]).shape[1:])
    assert ground_truth is not None
    digest = files.sha256_bytes([np.ascontiguousarray(labels.numpy().astype(np.uint8)).tobytes()])
    key = {"data": source.fingerprint, "split": split, "labels": digest, "shape": [*labels.shape, *size], "version": 1}
    if of is not None:
        key |= {"names": list(names), "of": of}
    path = folder / f"{files.canonical_hash(key)[:16]}.npy"
    shape = (*labels.shape[:2], *size)

    def write(file: BinaryIO) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for row in tqdm(labels, desc=f"ground truth of {source.name}", leave=False, disable=None if progress else True):
            for start in range(0, len(row), 500):
                indices = range(start, min(start + 500, len(row)))
                pixels = ground_truth.redraw(split, indices, names, row[start : indices.stop])
                file.write(pixels.contiguous().numpy().tobytes())

    if not path.exists():
        with files.locked(path.with_suffix(".lock")):
            if not path.exists():
                files.write_atomically(path, write)
    return np.load(path, mmap_mode="r", allow_pickle=False)
