"""The identity of an evaluation: which metrics, computed with which instruments, on which images.

It is stored with the scores as plain JSON, and the functions here read the stored form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from stargan_lab import files

VERSION = 3
"""Increased when the meaning of scores changes; scores of different versions are never compared."""

_OF_DATA = {"of_data": True}
_NOT_COMMON = ("instruments", "metrics", "hash", "seed")
_ABSENT_AT_ZERO = ("seed", "image_seed")


@dataclass(frozen=True)
class Protocol:
    """Two scores of one metric may be compared when ``metric_identity`` is equal.

    Attributes:
        data: dataset → prefix of its fingerprint: which images, real and translated.
        inputs: the split that is translated; none of its images is a reference.
        images: dataset → domain → how many were ``translated`` (those without the label) and how many are ``real``.
        targets: ``reference`` is one target per label, as set by ``labels.target_labels``.
        groups: dataset → mutually exclusive labels, which determine the labels that a target clears.
        checkpoint: the rule that picked the weights; never the best-scoring ones.
        network_mode: ``train-statistics``: every image is normalized by its own statistics, as in StarGAN.
        quantization: images are scored as an 8-bit file stores them.
        max_images: maximum number of test images, and of reference images per domain; None: all.
        batch_size: images translated together, which matters to a generator with batch statistics.
        instruments: attribute classifier, ground truth and extractors, each with everything its output depends on.
        metrics: metric → the instruments it ``uses``, its ``options``, its ``version``, and the ``seed`` if it draws at
            random; 0 is left out.
        seed: ``evaluation.seed``; a score depends on it only where its entry, its instruments or ``image_seed`` do.
        image_seed: the seed, if ``max_images`` leaves out images, so that it selects them; else 0.
    """

    data: Mapping[str, str] = field(metadata=_OF_DATA)
    images: Mapping[str, Mapping[str, Mapping[str, int]]] = field(metadata=_OF_DATA)
    groups: Mapping[str, Sequence[Sequence[str]]] = field(metadata=_OF_DATA)
    checkpoint: str
    max_images: int | None
    batch_size: int
    inputs: str = "test"
    targets: str = "reference"
    quantization: str = "uint8"
    network_mode: str = "train-statistics"
    version: int = VERSION
    instruments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, metadata=_OF_DATA)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    image_seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, including its hash. Seeds of 0 are left out, as in records from before there were seeds."""
        plain = json.loads(json.dumps(asdict(self)))
        plain = {key: value for key, value in plain.items() if value or key not in _ABSENT_AT_ZERO}
        return {"hash": protocol_hash(plain), **plain}


DATA_FIELDS = tuple(each.name for each in fields(Protocol) if each.metadata == _OF_DATA)
"""What protocols of runs on different data differ in; instruments are trained on the data."""


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """12 hex digits, the identity of an evaluation."""
    return files.canonical_hash({key: value for key, value in protocol.items() if key != "hash"})[:12]


def metric_protocol(protocol: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Everything one metric's values depend on: settings common to all metrics, its options, and its instruments.

    Args:
        protocol: as stored in ``result.json``.
        metric: with or without a domain, e.g. ``eval/fid`` or ``eval/fid/Male``.
    """
    common = {key: value for key, value in protocol.items() if key not in _NOT_COMMON}
    entry = protocol.get("metrics", {}).get("/".join(metric.split("/")[:2])) or {}
    if isinstance(entry, str):  # version 2 stored only the name of one instrument
        entry = {"uses": [entry]}
    instruments = protocol.get("instruments", {})
    used = {name: instruments.get(name) for name in entry.get("uses", ())}
    return common | {"instruments": used, "metric": {key: entry[key] for key in entry if key != "uses"}}


def metric_identity(protocol: Mapping[str, Any], metric: str) -> str:
    """8 hex digits, equal if two values of ``metric`` may be compared."""
    return files.canonical_hash(metric_protocol(protocol, metric))[:8]


def procedure_identity(protocol: Mapping[str, Any], metric: str) -> str:
    """8 hex digits, equal if two values of ``metric`` differ at most in the evaluation seed and ``max_images``."""
    facts = metric_protocol(protocol, metric)
    weights = (protocol.get("instruments", {}).get("attribute_classifier") or {}).get("sha256")
    used: dict[str, dict[str, Any]] = {name: dict(each or {}) for name, each in facts["instruments"].items()}
    for instrument in used.values():  # the classifier's weights depend on the seed, and so do its features
        for key in ("sha256", "identity"):
            if weights is not None and instrument.get(key) == weights:
                del instrument[key]
    facts = {key: value for key, value in facts.items() if key not in ("images", "max_images", "image_seed")}
    entry = {key: value for key, value in facts["metric"].items() if key != "seed"}
    return files.canonical_hash({**facts, "instruments": used, "metric": entry})[:8]


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
