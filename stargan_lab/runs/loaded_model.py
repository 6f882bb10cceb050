"""Trained networks in memory, and what they were trained on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stargan_lab.checkpoints.load_state import load_state
from stargan_lab.checkpoints.weight_files import Checkpoint, Role, State
from stargan_lab.config import RunConfig
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout
from stargan_lab.translation.translator import Translator


@dataclass(frozen=True)
class LoadedModel:
    """Trained networks and what they were trained on.

    Attributes:
        name: run id, or the file's stem.
        generator, critic: float32, or float64 as trained, on the CPU; critic is None if the file has only a generator.
        image_size: side in px in training.
        step: discriminator updates, None if unknown.
        averaged: the generator has EMA weights.
        config: of a run, with the recorded dataset paths and the current outputs directory.
        notes: one line for each assumption about a file that does not record it.
    """

    name: str
    path: Path
    generator: nn.Module
    critic: nn.Module | None
    layout: LabelLayout
    image_size: int
    step: int | None = None
    averaged: bool = False
    config: RunConfig | None = None
    notes: tuple[str, ...] = ()

    def translator(self, device: torch.device | str = "cpu") -> Translator:
        """The generator in the precision and memory format of its training, so that results match the run's."""
        mixed = self.config is not None and self.config.trainer.precision == "bfloat16"
        generator = self.generator.to(device)
        if self.config is not None and self.config.trainer.channels_last:
            generator = generator.to(memory_format=torch.channels_last)
        return Translator(generator, self.layout, torch.device(device), mixed)


def load_network(network: nn.Module, state: State, role: Role, what: str) -> None:
    """Load in the stored precision."""
    network.to(next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32))
    load_state(network, state, role, what)
    network.requires_grad_(False)


def use_average(checkpoint: Checkpoint, ema: bool | None) -> bool:
    if ema and "average" not in checkpoint.states:
        raise ConfigError(f"{checkpoint.path}: --ema: the run has no average; it was trained with ema.decay=0")
    return "average" in checkpoint.states if ema is None else ema
