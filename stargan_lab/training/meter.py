"""Collects loss terms on the device; looks at them only when asked."""

import math
from typing import Any

import torch
from torch import Tensor

from stargan_lab.errors import NonFiniteLossError


class Meter:
    """Loss terms since the last reading, kept as tensors so that a step never waits for the device."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, tuple[str, ...], Tensor]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, step: int, parts: dict[str, Tensor], dataset: str | None = None) -> None:
        """Take a step's terms; ``dataset`` where there are several, whose losses are kept apart."""
        names = tuple(f"{name}/{dataset}" if dataset else name for name in parts)
        self._pending.append((step, names, torch.stack([p.double() for p in parts.values()])))

    def collect(self) -> None:
        """Fetch what is pending and add it up.

        Raises:
            NonFiniteLossError: names the first step and term that is not finite.
        """
        if not self._pending:
            return
        values = torch.cat([v for _, _, v in self._pending]).tolist()
        for step, names, _ in self._pending:
            for name in names:
                value = values.pop(0)
                if not math.isfinite(value):
                    raise NonFiniteLossError(f"step {step}: loss/{name} is {value}; stopped before it could be saved")
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value, count + 1)
        self._pending.clear()

    def read(self) -> dict[str, float]:
        """Means since the last reading, as ``loss/<term>``, and ``loss/<term>/<dataset>`` of several; starts anew."""
        self.collect()
        means = {f"loss/{name}": total / count for name, (total, count) in self._sums.items()}
        together: dict[str, list[float]] = {}
        for name, mean in means.items():
            together.setdefault("/".join(name.split("/")[:2]), []).append(mean)
        self._sums = {}
        return {term: sum(parts) / len(parts) for term, parts in together.items()} | means

    def state_dict(self) -> dict[str, Any]:
        self.collect()
        return {name: list(pair) for name, pair in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending.clear()
        self._sums = {name: (total, count) for name, (total, count) in state.items()}
