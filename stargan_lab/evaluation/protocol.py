"""The identity of a scoring: what was measured, with which instruments, on which images."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stargan_lab import files

VERSION = 1
"""Raised when the meaning of a metric changes."""


@dataclass(frozen=True)
class Protocol:
    """Two scores may be compared when their protocols are equal.

    Attributes:
        extractor: name of the feature extractor beside the classifier, None when none was used.
        extractor_sha256: identity of its weights.
        classifiers: dataset -> hash of its domain classifier's weights.
        references: dataset -> split the Fréchet distances are taken against, never the inputs' split.
        groups: dataset -> labels that exclude each other, which decide what a target clears.
        max_images: only the first so many test images, and of each domain's reference images; None for all.
        batch_size: images translated together, which a generator with batch statistics depends on.
        weights: which checkpoint is scored, ``ema`` or ``last``; never the best-scoring one.
        inputs: split the translated images come from.
        targets: ``reference`` is one target per label, as ``batch.target_labels`` sets it.
        quantisation: images are scored as a file of them would hold them.
        network_mode: ``train-statistics``: every image is normalised by its own statistics, as the reference does.
    """

    extractor: str | None
    extractor_sha256: str | None
    classifiers: Mapping[str, str]
    references: Mapping[str, str]
    groups: Mapping[str, list[list[str]]]
    max_images: int | None
    batch_size: int
    weights: str
    inputs: str = "test"
    targets: str = "reference"
    quantisation: str = "uint8"
    network_mode: str = "train-statistics"
    version: int = VERSION

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def hash(self) -> str:
        """12 hex digits."""
        return files.canonical_hash(self.as_dict())[:12]
