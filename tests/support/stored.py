"""Weights on disk: golden files in the reference format, and runs as training writes them."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from stargan_lab import compose
from stargan_lab.checkpoints.label_layout import write_layout
from stargan_lab.checkpoints.train_state import save
from stargan_lab.config import RunConfig, run_id
from stargan_lab.files import write_text
from stargan_lab.runs.build import build_layout, build_sources, build_train_state
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.training.meter import Meter

KIT = Path(__file__).parents[1] / "reference" / "golden_small"
COUNTER = "num_batches_tracked"


def golden_config(run: str = "single") -> dict[str, int]:
    return json.loads(Path(f"{KIT}.json").read_text())["runs"][run]["config"]


def golden_state(letter: str, run: str = "single") -> "OrderedDict[str, Tensor]":
    """The golden initial weights of G or D as the reference's state dict."""
    prefix = f"{run}/init/{letter}/"
    with np.load(f"{KIT}.npz") as kit:
        return OrderedDict(
            (key[len(prefix) :], torch.from_numpy(np.array(kit[key]))) for key in kit.files if key.startswith(prefix)
        )


def write_pair(folder: Path, run: str = "single", step: int = 200000) -> Path:
    """``<step>-G.ckpt`` and ``<step>-D.ckpt``; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for letter in "GD":
        torch.save(golden_state(letter, run), folder / f"{step}-{letter}.ckpt")
    return folder


def tiny_config(outputs: Path, *overrides: str) -> RunConfig:
    return compose(
        ["preset=tiny", "tracking.enabled=false", "trainer.device=cpu", f"paths.outputs={outputs}", *overrides]
    )


def write_run(outputs: Path, *overrides: str, step: int = 4, layout: bool = True, status: str = "finished") -> str:
    """A run folder as training writes it, with another ``status`` if given; returns the run id.

    The networks have their initial weights, except that 0.01 is added to the generator's.
    """
    config = tiny_config(outputs, *overrides)
    sources = build_sources(config)
    identity = run_id(config, [source.fingerprint for source in sources])
    train_state = build_train_state(config, build_layout(sources))
    train_state.step = step
    with torch.no_grad():
        for parameter in train_state.generator.parameters():
            parameter.add_(0.01)
    folder = outputs / "runs" / identity
    save(folder / "checkpoints" / "last.pt", train_state, Meter(), identity)
    write_text(folder / "config.yaml", yaml.safe_dump(config.flat(), sort_keys=False))
    RunFolder(folder).write_result({"status": status, "metrics": {}})
    if layout:
        write_layout(folder, build_layout(sources))
    return identity
