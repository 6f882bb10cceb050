"""What is recorded of a run: where, under which tags, and what its result says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from stargan_lab.checkpoints.train_state import state_sha256
from stargan_lab.config import RunConfig
from stargan_lab.config.factors import factors
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.evaluator import Scores
from stargan_lab.files import canonical_hash
from stargan_lab.runs.provenance import code_hash, environment, git_commit
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.tracker import Tracker
from stargan_lab.training.updates import TrainState


def ablation_tags(config: RunConfig) -> dict[str, str]:
    return {f"ablation.{name}": variant for name, variant in config.tracking.ablations.items()}


def warning_tag(warnings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The tag ``warnings``: their codes, each once; empty for none, so that it replaces that of an earlier scoring."""
    return {"warnings": ", ".join(dict.fromkeys(str(warning["code"]) for warning in warnings))}


def open_store(config: RunConfig) -> Store | None:
    tracking = config.tracking
    return Store.open(Path(config.paths.outputs), tracking.uri, tracking.experiment) if tracking.enabled else None


def reason(error: Exception) -> str:
    """One line for a record."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LabError) else f"{type(error).__name__}: {text}"


def open_tracker(
    config: RunConfig, sources: Sequence[ImageSource], folder: RunFolder, identity: str, name: str
) -> Tracker:
    tags = {
        "seed": str(config.seed),
        "data": canonical_hash([source.fingerprint for source in sources])[:12],
        "code": code_hash(config.imports),
        "git_commit": git_commit(),
        **ablation_tags(config),
    }
    return Tracker(
        folder,
        identity,
        store=open_store(config),
        params=factors(config, config.tracking.factors),
        tags=tags,
        run_name=name,
    )


def result_of(
    config: RunConfig, identity: str, train_state: TrainState, scores: Scores | None, progress: dict[str, Any]
) -> dict[str, Any]:
    """The content of ``result.json``; metrics are those of a finished run only.

    Args:
        progress: status, seconds, seconds_per_step and resumed_from.
    """
    return {
        "run_id": identity,
        **progress,
        "metrics": scores.metrics if scores and progress["status"] == "finished" else {},
        "protocol": scores.protocol if scores else None,
        "notes": scores.notes if scores else [],
        "warnings": scores.warnings if scores else [],
        "step": train_state.step,
        "state_sha256": state_sha256(train_state),
        "parameters": {"generator": _size(train_state.generator), "discriminator": _size(train_state.critic)},
        "code": code_hash(config.imports),
        **environment(train_state.device.type),
    }


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
