"""Averages loss terms; values stay on the device until they are read."""

import math
from typing import Any

import torch
from torch import Tensor

from stargan_lab.errors import NonFiniteLossError
from stargan_lab.training.distributed import ALONE, World


class Meter:
    """Means of loss terms since the last read. Values stay tensors until then, so that no step waits for the device.

    Args:
        world: values are averaged over these processes, which must all read and collect at the same steps.
    """

    def __init__(self, world: World = ALONE) -> None:
        self._world = world
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, step: int, losses: dict[str, Tensor], dataset: str | None = None) -> None:
        """Add a step's scalar terms. With several datasets, ``dataset`` is the step's, and each has separate means."""
        names = tuple(f"{name}/{dataset}" if dataset else name for name in losses)
        self._pending.append((step, names, torch.stack([value.double() for value in losses.values()])))

    def collect(self) -> None:
        """Transfer pending values from the device and add them to the sums.

        Raises:
            NonFiniteLossError: a value is not finite; names the earliest such step and its term.
        """
        if not self._pending:
            return
        pending = torch.cat([v for _, _, v in self._pending])
        self._world.average([pending])
        values = iter(pending.tolist())
        for step, names, _ in self._pending:
            for name in names:
                value = next(values)
                if not math.isfinite(value):
                    raise NonFiniteLossError(f"step {step}: loss/{name} is {value}; stopped before saving a checkpoint")
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value, count + 1)
        self._pending.clear()

    def read(self) -> dict[str, float]:
        """Means since the last read, as ``loss/<term>`` and, with several datasets, ``loss/<term>/<dataset>``."""
        self.collect()
        means = {f"loss/{name}": total / count for name, (total, count) in self._sums.items()}
        by_term: dict[str, list[float]] = {}
        for name, mean in means.items():
            by_term.setdefault("/".join(name.split("/")[:2]), []).append(mean)
        self._sums = {}
        return {term: sum(of_datasets) / len(of_datasets) for term, of_datasets in by_term.items()} | means

    def state_dict(self) -> dict[str, Any]:
        self.collect()
        return {name: list(pair) for name, pair in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending.clear()
        self._sums = {name: (total, count) for name, (total, count) in state.items()}
