"""The identity of a training run: a hash of everything that changes its results, and of nothing else.

Equivalent configurations have the same identity. The effect of an option may depend on others, so a builder can have a
static method ``canonical(..., options)``, which maps options that build the same component to the same mapping. Its
other arguments are the image size for networks and the total number of iterations for schedules.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stargan_lab.checkpoints.weight_files import ROLES, Role, content_hash
from stargan_lab.config.rules import coupling
from stargan_lab.config.schema import COMPONENTS, Component, RunConfig, options_model
from stargan_lab.files import canonical_hash
from stargan_lab.registry import family

NOT_IDENTITY = ("paths", "tracking", "evaluation", "diagnostics", "imports", "quiet")
"""Keys that cannot change what training computes. ``evaluation`` is part of the protocol, an evaluation's identity."""

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
    """The content that the run id hashes.

    Args:
        fingerprints: of the datasets, in the order of ``data.sources``; they cover kind, root and selection.
    """
    omitted = (*NOT_IDENTITY, *COMPONENTS, "initial", "data", "terms")
    identity = {key: value for key, value in config.flat().items() if key not in omitted}
    identity |= {group: _canonical(config, group) for group in COMPONENTS}
    if terms := {name: term.flat() for name, term in config.terms.items() if term.weight}:
        identity["terms"] = terms
    if initial := initial_hashes(config):
        identity["initial"] = initial
    identity["trainer"] = effective_trainer(config)
    flips = [source.options.get("flip") for source in config.data.sources.values()]
    sources = [list(fields) for fields in zip(config.data.sources, fingerprints, flips, strict=True)]
    identity["data"] = {"image_size": config.data.image_size, "sources": sources}
    if family("targets").has(config.targets, "uses_groups"):  # otherwise groups only affect scoring
        identity["groups"] = [_groups(source) for source in config.data.sources.values()]
    return identity


def effective_trainer(config: RunConfig) -> dict[str, Any]:
    """The settings under ``trainer`` that can change results in this configuration, device and threads resolved."""
    trainer = {k: v for k, v in config.trainer.model_dump(mode="json").items() if k not in NOT_IDENTITY_IN_TRAINER}
    trainer |= {"device": device_name(config), "threads": thread_count(config)}
    return {key: value for key, value in trainer.items() if key not in _without_effect(config, trainer)}


def _without_effect(config: RunConfig, trainer: dict[str, Any]) -> set[str]:
    """Settings that change nothing with this device, precision and discriminator."""
    on_gpu_only = set() if trainer["device"] == "cuda" else {"cuda_graphs", "autotune"}
    in_half_only = set() if trainer["precision"] == "bfloat16" else {"discriminator_precision"}
    return on_gpu_only | in_half_only | ({"joint_pass"} if coupling(config, "discriminator") else set())


def _canonical(config: RunConfig, group: str) -> dict[str, Any]:
    """A component's name and options, in the same form for all options that build the same component."""
    component: Component = getattr(config, group)
    options = dict(component.options)
    for option, referenced in family(group).references(component.name).items():
        key = f"{option}_options"
        if key in options and options[option] is not None:
            model = options_model(referenced, options[option])
            options[key] = model.model_validate(options[key] or {}).model_dump()
    if canonical := getattr(family(group).get(component.name), "canonical", None):
        size, iterations = config.data.image_size, -(-config.total_steps // len(config.data.sources))
        facts = {"generator": (size,), "discriminator": (size,), "schedule": (iterations,)}
        options = canonical(*facts.get(group, ()), options)
    return {"name": component.name, **options}


def _groups(source: Component) -> list[list[str]] | None:
    """Groups of exclusive labels, restricted to the dataset's labels; order does not matter."""
    groups, attributes = source.options.get("exclusive"), source.options.get("attributes")
    if groups is None or attributes is None:
        return groups
    used = (sorted(set(group) & set(attributes)) for group in groups)
    return sorted(group for group in used if group)


def initial_hashes(config: RunConfig) -> dict[Role, str]:
    """Role -> hash of the initial weights' content, wherever they are stored. Raises ConfigError."""
    initial = {role: getattr(config.initial, role) for role in ROLES}
    outputs = Path(config.paths.outputs)
    return {role: content_hash(initial[role], role, outputs) for role in ROLES if initial[role] is not None}


def run_id(config: RunConfig, fingerprints: Sequence[str]) -> str:
    """The run id: twelve hexadecimal digits."""
    return canonical_hash(training_identity(config, fingerprints))[:12]


def run_ids(configs: Sequence[RunConfig], fingerprints: Sequence[str]) -> list[str]:
    """The run ids of configurations that are equal except for the seed, as ``run_id`` returns them one by one."""
    identity = training_identity(configs[0], fingerprints)
    return [canonical_hash(identity | {"seed": config.seed})[:12] for config in configs]


def device_name(config: RunConfig) -> str:
    """``cpu`` or ``cuda``, with ``auto`` resolved; without an index, which cannot change results."""
    if config.trainer.device != "auto":
        return config.trainer.device.partition(":")[0]
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def thread_count(config: RunConfig) -> int:
    """The number of CPU threads of a process, with null resolved: an equal share of the cores that it may use.

    A container's CPU quota counts, and so does the affinity of the process.
    """
    if config.trainer.threads:
        return config.trainer.threads
    from joblib import cpu_count  # takes about 0.1 s to import

    return max(cpu_count() // config.trainer.devices, 1)
