"""What the settings of Hydra's launcher mean for a sweep: where it trains, and how many runs at a time."""

from collections.abc import Sequence
from copy import deepcopy

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from joblib import effective_n_jobs
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from stargan_lab.cli.capacity import Capacity, capacity
from stargan_lab.config import RunConfig
from stargan_lab.errors import ConfigError


def trains_here(launcher: DictConfig) -> bool:
    """Whether a launcher's jobs run on this machine."""
    return launcher.get("cluster") != "slurm" and not launcher.get("address")


def in_process(base: DictConfig) -> bool:
    """Whether the launcher trains in this process."""
    target: str = base.hydra.launcher._target_
    return target.endswith(f".{BasicLauncher.__name__}")


def n_jobs(base: DictConfig) -> int | None:
    """The launcher's ``n_jobs``: at least 1; -1: one per core; None: as many as fit. 1 for one without this option.

    Raises:
        ConfigError: it is something else, or not set.
    """
    launcher = base.hydra.launcher
    if OmegaConf.is_missing(launcher, "n_jobs"):
        raise ConfigError("hydra.launcher.n_jobs: set the number of runs at a time")
    number = launcher.get("n_jobs", 1)
    if number is None or (type(number) is int and (number >= 1 or number == -1)):
        return number
    raise ConfigError(f"hydra.launcher.n_jobs: expected a number of at least 1, -1 or null, got {number!r}")


def at_a_time(base: DictConfig, configs: Sequence[RunConfig], runs: int | None = None) -> Capacity:
    """How many runs with these configurations the launcher trains at a time: ``n_jobs``, or as many as fit.

    Args:
        runs: how many there are; None if that is unknown.
    Raises:
        ConfigError: ``n_jobs`` is invalid, or the GPUs cannot be used.
    """
    chosen = n_jobs(base)
    fitting = capacity(configs) if chosen is None else Capacity(effective_n_jobs(chosen))
    return fitting.limited_to(runs or fitting.runs)


def with_n_jobs(base: DictConfig, configs: Sequence[RunConfig], runs: int | None = None) -> DictConfig:
    """Hydra's settings with the number of runs at a time in place of ``n_jobs=null``; see ``at_a_time``."""
    if n_jobs(base) is not None:
        return base
    changed = deepcopy(base)
    with open_dict(changed), read_write(changed):
        changed.hydra.launcher.n_jobs = at_a_time(base, configs, runs).runs
    return changed


def one_by_one(base: DictConfig) -> bool:
    """Whether the launcher trains one run after another on this machine."""
    return in_process(base) or base.hydra.launcher.get("n_jobs") == 1
