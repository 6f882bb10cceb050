"""The identity of a scoring: what was measured, with which instruments, on which images.

It is kept with the scores as plain JSON, so everything here is asked of the stored form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stargan_lab import files

VERSION = 2
"""Raised when the meaning of a metric changes."""

_NOT_COMMON = ("instruments", "metrics", "hash")


@dataclass(frozen=True)
class Protocol:
    """Two scores of one metric may be compared when ``metric_identity`` is equal.

    Attributes:
        data: dataset -> beginning of its fingerprint: which images, real and translated.
        inputs: split the translated images come from; no image of it is ever a reference.
        images: dataset -> domain -> how many were ``translated`` (those without the label) and how many are ``real``.
        targets: ``reference`` is one target per label, as ``batch.target_labels`` sets it.
        groups: dataset -> labels that exclude each other, which decide what a target clears.
        checkpoint: the rule that picked the weights; never the best-scoring ones.
        network_mode: ``train-statistics``: every image is normalised by its own statistics, as the reference does.
        quantisation: images are scored as a file of them would hold them.
        max_images: only the first so many test images, and of each domain's reference images; None for all.
        batch_size: images translated together, which a generator with batch statistics depends on.
        instruments: name -> what that instrument's numbers depend on beside all of the above.
        metrics: metric -> the name of its instrument.
    """

    data: Mapping[str, str]
    images: Mapping[str, Mapping[str, Mapping[str, int]]]
    groups: Mapping[str, Sequence[Sequence[str]]]
    checkpoint: str
    max_images: int | None
    batch_size: int
    inputs: str = "test"
    targets: str = "reference"
    quantisation: str = "uint8"
    network_mode: str = "train-statistics"
    version: int = VERSION
    instruments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, its own hash among it."""
        plain = asdict(self)
        return {"hash": protocol_hash(plain), **plain}


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """12 hex digits, the identity of a whole scoring."""
    return files.canonical_hash({key: value for key, value in protocol.items() if key != "hash"})[:12]


def metric_protocol(protocol: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What one metric's values depend on: what is common to all, and its instrument.

    Args:
        protocol: as ``result.json`` has it.
        metric: with or without a domain, e.g. ``eval/fid`` or ``eval/fid/Male``.
    """
    common = {key: value for key, value in protocol.items() if key not in _NOT_COMMON}
    base = "/".join(metric.split("/")[:2])
    return common | {"instrument": protocol.get("instruments", {}).get(protocol.get("metrics", {}).get(base))}


def metric_identity(protocol: Mapping[str, Any], metric: str) -> str:
    """8 hex digits, equal where two values of ``metric`` were made alike."""
    return files.canonical_hash(metric_protocol(protocol, metric))[:8]


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys at which two plain mappings differ, with both values: ``batch_size: 64, 32``."""
    lines = []
    for key in dict.fromkeys([*one, *other]):
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {_short(a)}, {_short(b)}")
    return lines


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:20]}…"
