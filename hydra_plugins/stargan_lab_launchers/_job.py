"""What the launchers share: running one job of a sweep, in any process, and recording a job that died."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError, Stopped, one_line

OF_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""What a terminal sends to all processes of a command, not only to the launcher, which lets its jobs save first."""


@contextmanager
def blocked_in_children() -> Iterator[None]:
    """Context in which new processes start with ``OF_TERMINAL`` blocked; ``unblock`` is for the jobs among them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Let this process receive ``OF_TERMINAL`` again; a stopped sweep sends it SIGINT."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_TERMINAL)


def raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    """Handler of a signal that ends a job outside of training, where there is nothing to save."""
    raise Stopped(number)


class Number(NamedTuple):
    """What an option of a launcher must be, if it is given or not ``optional``."""

    least: float
    whole: bool = True
    optional: bool = True


def check_numbers(options: Mapping[str, Any], allowed: Mapping[str, Number]) -> None:
    """Raises ConfigError for the first of the ``options`` that is not as ``allowed``."""
    for name, number in allowed.items():
        value: Any = options.get(name)
        if value is None and number.optional:
            continue
        if type(value) not in ((int,) if number.whole else (int, float)) or not value >= number.least:
            kind, got = "whole number" if number.whole else "number", "null" if value is None else repr(value)
            raise ConfigError(f"hydra.launcher.{name}: expected a {kind} of at least {number.least:g}, got {got}")


@contextmanager
def errors_held_back() -> Iterator[None]:
    """Context that discards what libraries, also those in C, print to stderr, if it ends with an error."""
    sys.stderr.flush()
    before = os.dup(2)
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
        held.seek(0)
        sys.stderr.write(held.read().decode(errors="replace"))


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs in a process that has received this object; cloudpickle must serialize it.

    Launchers send each process ``runner.only(number)``, since the runner of all jobs grows with the sweep.

    Attributes:
        task: ``stargan_lab.cli.jobs.Jobs``, which the import rules do not let this package name.
        singletons: Hydra's global state of the launching process.
    """

    config: DictConfig
    context: HydraContext
    task: Any
    singletons: dict[Any, Any]

    def only(self, number: int) -> "JobRunner":
        """One that can run job ``number`` only; its size does not depend on how many jobs there are."""
        return replace(self, task=self.task.only(number))

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The configuration of one job, after Hydra's global state has been set up in this process."""
        setup_globals()
        Singleton.set_state(self.singletons)
        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def __call__(self, overrides: Sequence[str], number: int) -> JobReturn:
        """Run job ``number``; an exception is returned as a failure that can be pickled."""
        try:
            done = run_job(
                hydra_context=self.context,
                task_function=self.task,
                config=self.compose(overrides, number),
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Exception as error:  # before or after the task, e.g. of Hydra's files on a full disk
            failure = self.task.failed(number, error)
            self.task.job_lost(number)
            done = JobReturn(overrides=list(overrides), status=JobStatus.FAILED, _return_value=failure)
        if done.status == JobStatus.FAILED:
            done._return_value = _picklable(done._return_value)
        return done


class LabLauncher(Launcher):
    """A launcher whose jobs are run by a JobRunner."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.task: Any = task_function
        self.runner = JobRunner(config, hydra_context, task_function, Singleton.get_state())

    def lost(self, number: int, overrides: Sequence[str], reason: str) -> JobReturn:
        """The failure of a job whose process ended without a result; reported here because the job no longer can."""
        error = LabError(f"job {number}: {reason}; the same command resumes it")
        say(f"failed: {error}")
        self.task.job_lost(number)
        return JobReturn(overrides=list(overrides), status=JobStatus.FAILED, _return_value=error)


def _picklable(error: BaseException) -> BaseException:
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:  # of any kind: the classes are the user's
        return LabError(f"{type(error).__name__}: {one_line(error)}")
    return error
