"""What the settings of Hydra's launcher mean for a sweep: where it trains, and how many runs at a time."""

from collections.abc import Sequence
from copy import deepcopy

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from stargan_lab.cli.capacity import Capacity, capacity, jobs_on_all_cores
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
    """The launcher's ``n_jobs``, at least 1; None: as many as fit. 1 for one without this option.

    For -1, as many jobs as this machine has cores for: those that the launcher reserves for a job, or one.

    Raises:
        ConfigError: it is something else or not set, or depends on this machine, but the jobs run on others.
    """
    launcher = base.hydra.launcher
    if OmegaConf.is_missing(launcher, "n_jobs"):
        raise ConfigError("hydra.launcher.n_jobs: set the number of runs at a time")
    number = launcher.get("n_jobs", 1)
    if type(number) is int and number >= 1:
        return number
    if number is not None and (type(number) is not int or number != -1):
        raise ConfigError(f"hydra.launcher.n_jobs: expected a number of at least 1, -1 or null, got {number!r}")
    if not trains_here(launcher):
        raise ConfigError(
            f"hydra.launcher.n_jobs: {number or 'null'} depends on this machine, but the runs train on others; set the"
            " number of runs at a time"
        )
    return number and jobs_on_all_cores(launcher.get("cpus_per_task", launcher.get("num_cpus")) or 1)


def at_a_time(base: DictConfig, configs: Sequence[RunConfig]) -> Capacity:
    """How many runs with these configurations the launcher trains at a time: ``n_jobs``, or as many as fit.

    Raises:
        ConfigError: ``n_jobs`` is invalid, or the GPUs cannot be used.
    """
    chosen = n_jobs(base)
    return capacity(configs) if chosen is None else Capacity(chosen)


def with_n_jobs(
    base: DictConfig, configs: Sequence[RunConfig], runs: int | None = None, known: Capacity | None = None
) -> DictConfig:
    """Hydra's settings with the number of runs at a time in place of ``n_jobs`` null or -1; see ``at_a_time``.

    Args:
        runs: how many there are; None if that is unknown.
        known: an earlier answer of ``at_a_time`` for more runs like these; None: it is called.
    """
    if (chosen := n_jobs(base)) is not None and chosen == base.hydra.launcher.get("n_jobs", 1):
        return base
    fitting = known or at_a_time(base, configs)
    changed = deepcopy(base)
    with open_dict(changed), read_write(changed):
        changed.hydra.launcher.n_jobs = fitting.limited_to(runs or fitting.runs).runs
    return changed


def one_by_one(base: DictConfig) -> bool:
    """Whether the launcher trains one run after another on this machine."""
    return in_process(base) or base.hydra.launcher.get("n_jobs") == 1
