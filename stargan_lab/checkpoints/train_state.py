"""Checkpoints: everything a resume needs, written atomically."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stargan_lab.checkpoints.weight_files import hash_tensors, load_weights
from stargan_lab.errors import LabError
from stargan_lab.files import write_atomically
from stargan_lab.training.meter import Meter
from stargan_lab.training.updates import TrainState


def state_of(train_state: TrainState) -> dict[str, Any]:
    """State dicts of networks, average and optimizers."""
    return {
        "generator": train_state.generator.state_dict(),
        "critic": train_state.critic.state_dict(),
        "ema": train_state.ema.network.state_dict() if train_state.ema.network else {},
        "g_optimizer": train_state.g_optimizer.state_dict(),
        "d_optimizer": train_state.d_optimizer.state_dict(),
    }


def save(path: Path, train_state: TrainState, meter: Meter, run_id: str) -> None:
    """Write a checkpoint atomically. Raises NonFiniteLossError if a loss since the last read is not finite."""
    progress = {"run_id": run_id, "step": train_state.step, "seconds": train_state.seconds, "meter": meter.state_dict()}
    content = progress | state_of(train_state)
    write_atomically(path, lambda file: torch.save(content, file))


def restore(path: Path, train_state: TrainState, meter: Meter, run_id: str) -> None:
    """Load a checkpoint into a train state and a meter. Raises LabError if it belongs to another run."""
    content = load_weights(path, train_state.device)
    if not isinstance(content, dict) or not {"run_id", "step", "generator"} <= set(content):
        raise LabError(f"{path}: not a run's checkpoint")
    if content["run_id"] != run_id:
        raise LabError(f"{path}: belongs to run {content['run_id']}, not {run_id}")
    train_state.generator.load_state_dict(content["generator"])
    train_state.critic.load_state_dict(content["critic"])
    if train_state.ema.network is not None:
        train_state.ema.network.load_state_dict(content["ema"])
    train_state.g_optimizer.load_state_dict(content["g_optimizer"])
    train_state.d_optimizer.load_state_dict(content["d_optimizer"])
    meter.load_state_dict(content["meter"])
    train_state.step, train_state.seconds = content["step"], content["seconds"]


def state_sha256(train_state: TrainState) -> str:
    """SHA-256 of networks, average and optimizers; see ``hash_tensors``."""
    return hash_tensors(_tensors("", state_of(train_state)))


def _tensors(prefix: str, value: Any) -> list[tuple[str, Tensor]]:
    """Every tensor in nested dicts, with its path. Plain numbers are optimizer options set by the configuration."""
    if isinstance(value, Tensor):
        return [(prefix, value)]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _tensors(f"{prefix}/{key}", item)]
    return []
