"""Simulated scores of an ablation: an effect per variant, an effect per seed that all variants share, and noise."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from pandas import DataFrame


def contaminated(random: Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal noise in which one run of ten has five times the standard deviation."""
    return random.standard_normal(shape) * np.where(random.random(shape) < 0.1, 5, 1)


NOISE: dict[str, Callable[[Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "t with 3 degrees of freedom": lambda random, shape: random.standard_t(3, shape),
    "contaminated normal": contaminated,
}


def simulated(random: Generator, noise: str, effects: list[float], seeds: int, scale: float = 1.0) -> DataFrame:
    """Scores of ``base`` (effect 0) and of a variant per effect: ``v1``, ``v2``, …"""
    values = scale * NOISE[noise](random, (len(effects) + 1, seeds)) + random.standard_normal(seeds)
    values += np.array([0, *effects])[:, None]
    variants = np.repeat(["base", *(f"v{i + 1}" for i in range(len(effects)))], seeds)
    return DataFrame({"variant": variants, "seed": np.tile(np.arange(seeds), len(values)), "value": values.ravel()})
