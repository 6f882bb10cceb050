"""What the settings of Hydra's launcher mean for a sweep: where it trains, and how many runs at a time."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from joblib import effective_n_jobs
from omegaconf import DictConfig, open_dict, read_write

from stargan_lab.cli.capacity import Capacity, capacity
from stargan_lab.config import RunConfig


def trains_here(launcher: DictConfig) -> bool:
    """Whether a launcher's jobs run on this machine."""
    return launcher.get("cluster") != "slurm" and not launcher.get("address")


def in_process(base: DictConfig) -> bool:
    """Whether the launcher trains in this process."""
    target: str = base.hydra.launcher._target_
    return target.endswith(f".{BasicLauncher.__name__}")


def at_a_time(base: DictConfig, configs: Sequence[RunConfig], runs: int | None = None) -> Capacity:
    """How many runs with these configurations the launcher trains at a time: ``n_jobs``, or as many as fit.

    Args:
        runs: how many there are; None if that is unknown.
    """
    chosen = base.hydra.launcher.get("n_jobs", 1)  # a launcher without this option: one after another
    fitting = capacity(configs) if chosen is None else Capacity(effective_n_jobs(chosen))
    return replace(fitting, runs=min(fitting.runs, runs or fitting.runs))


def with_n_jobs(base: DictConfig, configs: Sequence[RunConfig], runs: int | None = None) -> DictConfig:
    """Hydra's settings with the number of runs at a time in place of ``n_jobs=null``; see ``at_a_time``."""
    if base.hydra.launcher.get("n_jobs", 1) is not None:
        return base
    changed = deepcopy(base)
    with open_dict(changed), read_write(changed):
        changed.hydra.launcher.n_jobs = at_a_time(base, configs, runs).runs
    return changed


def one_by_one(base: DictConfig) -> bool:
    """Whether the launcher trains one run after another on this machine."""
    return in_process(base) or base.hydra.launcher.get("n_jobs") == 1
