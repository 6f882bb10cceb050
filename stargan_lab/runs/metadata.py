"""Tags, tracker and result of a run, as they are recorded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stargan_lab.checkpoints.train_state import state_sha256
from stargan_lab.config import RunConfig
from stargan_lab.config.factors import factors
from stargan_lab.console import inform
from stargan_lab.data.protocols import ImageSource
from stargan_lab.evaluation.evaluator import Scores
from stargan_lab.files import canonical_hash
from stargan_lab.runs.audit import Audit
from stargan_lab.runs.provenance import code_hash, environment, git_commit
from stargan_lab.runs.run_name import run_name
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store, default_database
from stargan_lab.tracking.tracker import Tracker
from stargan_lab.tracking.uri import sqlite_file, usable
from stargan_lab.training.updates import TrainState


def ablation_tags(config: RunConfig) -> dict[str, str]:
    return {f"ablation.{name}": variant for name, variant in config.tracking.ablations.items()}


def warning_tag(warnings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The tag ``warnings`` with their distinct codes; empty without warnings, so that it replaces an earlier tag."""
    return {"warnings": ", ".join(dict.fromkeys(str(warning["code"]) for warning in warnings))}


def open_store(config: RunConfig) -> Store | None:
    """The run's MLflow store, None if tracking is disabled. Raises StoreError."""
    tracking, outputs = config.tracking, Path(config.paths.outputs)
    if not tracking.enabled:
        return None
    uri = usable(tracking.uri)
    database = sqlite_file(uri) if uri else default_database(outputs)

    def creating() -> None:
        inform(f"creating the MLflow database {database}, once")

    return Store.open(outputs, uri, tracking.experiment, creating)


def open_tracker(config: RunConfig, sources: Sequence[ImageSource], folder: RunFolder) -> Tracker:
    """The tracker of a run; the store is opened when it starts."""
    tags = {
        "seed": str(config.seed),
        "data": canonical_hash([source.fingerprint for source in sources])[:12],
        "code": code_hash(config.imports),
        "git_commit": git_commit(),
        **ablation_tags(config),
    }
    params = factors(config, config.tracking.factors)

    def connect() -> Store:
        store = open_store(config)
        assert store is not None
        return store

    enabled = connect if config.tracking.enabled else None
    return Tracker(folder, connect=enabled, params=params, tags=tags, run_name=run_name(config))


def result_of(
    config: RunConfig,
    run_id: str,
    train_state: TrainState,
    scores: Scores | None,
    audit: Audit,
    progress: dict[str, Any],
) -> dict[str, Any]:
    """The content of ``result.json``; ``metrics`` is empty unless the run is finished.

    Args:
        scores: None before the first evaluation.
        audit: see ``runs.audit.audit``.
        progress: status, seconds, seconds_per_step, peak_memory_mib and resumed_from.
    """
    return {
        "run_id": run_id,
        **progress,
        "metrics": scores.metrics if scores and progress["status"] == "finished" else {},
        "protocol": scores.protocol if scores else None,
        "notes": scores.notes if scores else [],
        "warnings": scores.warnings if scores else [],
        "step": train_state.step,
        "state_sha256": state_sha256(train_state),
        "parameters": {
            "generator": audit["parameters.generator"],
            "discriminator": audit["parameters.discriminator"],
        },
        "audit": audit,
        "code": code_hash(config.imports),
        **environment(train_state.device.type),
    }
