"""The identity of a training: a hash of everything that changes its numbers, and of nothing else."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stargan_lab.checkpoints.files import ROLES, content_hash
from stargan_lab.config.schema import RunConfig
from stargan_lab.files import canonical_hash
from stargan_lab.registry import family

NOT_IDENTITY = ("paths", "tracking", "evaluation", "imports")
"""Groups that cannot change what a training computes. ``evaluation`` is the identity of a scoring, its protocol."""

NOT_IDENTITY_IN_TRAINER = (
    "log_every",
    "sample_every",
    "checkpoint_every",
    "evaluate_every",
    "sample_images",
    "sample_seed",
    "workers",
)


def training_identity(config: RunConfig, fingerprints: Sequence[str]) -> dict[str, Any]:
    """What the run id is the hash of.

    Args:
        fingerprints: of the datasets, in the order of ``data.sources``; they stand for kind, folder and selection.
    """
    identity = {key: value for key, value in config.flat().items() if key not in (*NOT_IDENTITY, "initial", "terms")}
    if terms := {name: term.flat() for name, term in config.terms.items() if term.weight}:
        identity["terms"] = terms
    if started_from := initial_hashes(config):  # absent otherwise, so that this key changes no other run's id
        identity["initial"] = started_from
    trainer = {key: value for key, value in identity["trainer"].items() if key not in NOT_IDENTITY_IN_TRAINER}
    identity["trainer"] = trainer | {"device": device_name(config), "threads": thread_count(config)}
    flips = [source.options.get("flip") for source in config.data.sources.values()]
    sources = [list(pair) for pair in zip(config.data.sources, fingerprints, flips, strict=True)]
    identity["data"] = {"image_size": config.data.image_size, "sources": sources}
    if family("targets").has(config.targets, "uses_groups"):  # else they decide how a run is scored, and no more
        identity["groups"] = [source.options.get("exclusive") for source in config.data.sources.values()]
    return identity


def initial_hashes(config: RunConfig) -> dict[str, str]:
    """Content of the weights that networks start from, wherever they lie: role -> hash. Raises ConfigError."""
    given = {role: getattr(config.initial, role) for role in ROLES}
    outputs = Path(config.paths.outputs)
    return {role: content_hash(given[role], role, outputs) for role in ROLES if given[role] is not None}


def run_id(config: RunConfig, fingerprints: Sequence[str]) -> str:
    """Twelve hexadecimal digits."""
    return canonical_hash(training_identity(config, fingerprints))[:12]


def device_name(config: RunConfig) -> str:
    """``cpu`` or ``cuda``: which device ``auto`` is, and without an index, since that cannot change the numbers."""
    if config.trainer.device != "auto":
        return config.trainer.device.partition(":")[0]
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def thread_count(config: RunConfig) -> int:
    return config.trainer.threads or len(os.sched_getaffinity(0))
