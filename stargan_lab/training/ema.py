"""Exponential moving average of the generator's weights."""

from copy import deepcopy

import torch
from torch import nn


class Ema:
    """An averaged copy of a network; ``network`` is None when ``decay`` is 0.

    Args:
        decay: in [0, 1); weight of the old average at each generator update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = deepcopy(network).requires_grad_(False) if decay else None

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        if self.network is not None:
            for average, value in zip(self.network.parameters(), network.parameters(), strict=True):
                average.lerp_(value, 1 - self.decay)
