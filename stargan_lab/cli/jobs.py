"""Train several runs with Hydra's launchers, each with its validated configuration."""

import copy
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.stargan_lab_launchers.batch import SubmititLauncher
from hydra_plugins.stargan_lab_launchers.processes import ProcessLauncher
from hydra_plugins.stargan_lab_launchers.ray_cluster import RayLauncher
from stargan_lab.cli.capacity import Capacity
from stargan_lab.cli.hydra_files import without_passwords
from stargan_lab.cli.job_signals import interrupted_by, stopping
from stargan_lab.cli.launcher_settings import in_process, one_by_one, trains_here, with_n_jobs
from stargan_lab.cli.sweep_progress import SweepProgress
from stargan_lab.config import RunConfig, run_id
from stargan_lab.config.compose import Note, resolve
from stargan_lab.config.run_identity import device_name, thread_count
from stargan_lab.console import inform, quietly, say
from stargan_lab.errors import ConfigError, JobStopped, LabError, one_line
from stargan_lab.files import check_writable
from stargan_lab.registry import import_user_modules
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.uri import masked

for _launcher in (ProcessLauncher, SubmititLauncher, RayLauncher):
    Plugins.instance().register(_launcher)  # Hydra's own search does not see an editable installation


class Job(NamedTuple):
    """One run to train: its overrides, validated configuration and run id."""

    overrides: Sequence[str]
    config: RunConfig
    run_id: str

    @property
    def folder(self) -> RunFolder:
        return RunFolder(Path(self.config.paths.outputs) / "runs" / self.run_id)


class Jobs:
    """Hydra's task function for several runs; launchers pickle ``only(number)`` for a worker.

    Args:
        base: the composition that all jobs share.
        jobs: by job number; empty for a sweeper that creates jobs one by one; these are validated when they start.
        skipped: runs of the sweep that are not trained but count in its progress.
        retry_failed: train a run again that another sweep has failed to train since this one was planned.
    """

    def __init__(
        self,
        base: DictConfig,
        jobs: Sequence[Job] = (),
        skipped: Sequence[RunFolder] = (),
        retry_failed: bool = True,
    ) -> None:
        folder, self.launcher_pid = Path(base.hydra.sweep.dir).absolute(), os.getpid()
        journal = folder / f"jobs.{self.launcher_pid}.txt"  # two sweeps may share a directory
        self.stop_file = folder / f"stopped.{self.launcher_pid}"
        self.jobs = {number: job._replace(config=_pinned(job.config)) for number, job in enumerate(jobs)}
        self.progress = SweepProgress([*skipped, *(job.folder for job in jobs)], len(jobs), journal)
        self.one_by_one, self.retry_failed = one_by_one(base), retry_failed
        self._uri: str | None = OmegaConf.select(base, "tracking.uri")  # compositions of jobs have no password

    def __call__(self, composed: DictConfig) -> Any:
        show_plain_warnings()
        if self.stop_file.exists():
            raise LabError("not started: the sweep was stopped")
        hydra: Any = HydraConfig.get()
        in_launcher = os.getpid() == self.launcher_pid
        try:
            with nullcontext() if in_launcher else interrupted_by(self.stop_file):
                return self._train(hydra.job.num) if self.jobs else self._check_and_train(composed, hydra)
        except (Exception, SystemExit) as error:
            raise self.failed(hydra.job.num, error) from error  # the launcher continues with the other jobs
        except KeyboardInterrupt as error:
            if in_launcher:
                raise
            raise JobStopped("stopped") from error  # some launchers lose every job if a worker is interrupted

    def only(self, number: int) -> "Jobs":
        """What one job needs, without the configurations and folders of the others."""
        mine = copy.copy(self)
        mine.jobs = {number: self.jobs[number]} if self.jobs else {}
        mine.progress = self.progress.only(number)
        return mine

    def failed(self, number: int, error: Exception | SystemExit) -> LabError:
        """Print why a job failed. An unexpected error leaves its traceback with the run, or if it has no folder yet,
        with Hydra's files of the job.
        """
        from stargan_lab.runs.failure import described  # imports torch

        job, elsewhere = self.jobs.get(number), RunFolder(self.stop_file.parent / str(number))
        folder = job.folder if job and job.folder.path.exists() else elsewhere
        failure = described(error, job.config if job else None, folder)
        say(f"failed: {failure}")
        return failure

    def job_lost(self, number: int) -> None:
        """Record that a job's process ended without reporting it."""
        if self.jobs:
            self.progress.lost(number)

    def job_ended(self, number: int) -> None:
        """Print the progress in the launching process, for jobs that print to another machine's log."""
        if self.jobs:
            inform(f"ended {self._name(number)} — {self.progress.counts().text()}")

    def _name(self, number: int) -> str:
        from stargan_lab.runs.run_name import run_name

        return f"{self.progress.position(number)} {run_name(self.jobs[number].config)}"

    def _train(self, number: int) -> dict[str, Any]:
        config = self.jobs[number].config
        with quietly(config.quiet), self._shown(number):
            import_user_modules(config.imports)  # a worker is a new process
            return self._run(config)

    def _check_and_train(self, composed: DictConfig, hydra: DictConfig) -> dict[str, Any]:
        config = check_job(composed, hydra).config
        if self._uri is not None and config.tracking.uri == masked(self._uri):
            config = config.model_copy(update={"tracking": config.tracking.model_copy(update={"uri": self._uri})})
        with quietly(config.quiet):
            inform(f"{_blank_line()}[{hydra.job.num + 1}]")
        return self._run(config)

    def _run(self, config: RunConfig) -> dict[str, Any]:
        from stargan_lab.runs.run import run  # imports torch

        return run(config, self.retry_failed, outlast=True)

    @contextmanager
    def _shown(self, number: int) -> Iterator[None]:
        """Print the sweep's progress: before the run, or at its start and end if runs are trained in parallel."""
        name = self._name(number)
        if self.one_by_one:
            inform(f"{_blank_line()}{name} — {self.progress.counts().text()}")
            with self.progress.job(number):
                yield
            return
        try:
            with self.progress.job(number):
                inform(f"started {name} — {self.progress.counts().text()}")
                yield
        finally:
            inform(f"ended {name} — {self.progress.counts().text()}")


def _blank_line() -> str:
    """Separates runs in a terminal; a log needs none."""
    return "\n" if sys.stderr.isatty() else ""


def _pinned(config: RunConfig) -> RunConfig:
    """``config`` with this machine's device and number of threads, which are part of the run id; workers may differ."""
    device = device_name(config) if config.trainer.device == "auto" else config.trainer.device
    trainer = config.trainer.model_copy(update={"device": device, "threads": thread_count(config)})
    return config.model_copy(update={"trainer": trainer})


def check_job(composed: DictConfig, hydra: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Validate the configuration of a job, and check that its outputs, device, data and weights are available.

    Raises:
        ConfigError, DataError: in one line.
    """
    config = resolve(composed, hydra)
    from stargan_lab.runs.build import check_one_of_several

    check_one_of_several(config)
    return check_run(config, hydra, overrides)


def check_run(config: RunConfig, hydra: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Check that outputs, device, data and weights are available. Raises ConfigError or DataError in one line."""
    from stargan_lab.runs.build import check_prerequisites

    check_writable("paths.outputs", Path(config.paths.outputs))
    return Job(overrides, config, run_id(config, check_prerequisites(config, trains_here(hydra.launcher))))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn Hydra's errors, e.g. about a launcher's settings, into a ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise error.__cause__ if isinstance(error.__cause__, LabError) else ConfigError(one_line(error)) from None


@one_line_errors()
def launch(
    jobs: Sequence[Job],
    base: DictConfig,
    loader: ConfigLoader,
    batch_size: int | None = None,
    skipped: Sequence[RunFolder] = (),
    parallel: Capacity | None = None,
    retry_failed: bool = True,
) -> list[Exception]:
    """Train every job with the configured launcher.

    Args:
        skipped: runs of the sweep that are not trained; they count in its progress.
        parallel: how many jobs fit at a time, if that is known already.
        retry_failed: see ``Jobs``.
        batch_size: how many jobs the launcher gets at a time; after a failure, no further batch starts.
    Returns:
        The errors of the jobs that failed.
    Raises:
        Stopped: one of ``stop_signals`` stopped the jobs.
    """
    if jobs:
        base = with_n_jobs(base, [job.config for job in jobs], len(jobs), parallel)
    base = without_passwords(base)  # Hydra writes it to files; the jobs' own configurations are complete
    folder = Path(base.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(base, folder / "multirun.yaml")
    function, callbacks = Jobs(base, jobs, skipped, retry_failed), Callbacks(base)
    function.progress.restart()
    context = HydraContext(config_loader=loader, callbacks=callbacks)
    launcher = Plugins.instance().instantiate_launcher(config=base, hydra_context=context, task_function=function)
    size, failures = batch_size or max(len(jobs), 1), []
    callbacks.on_multirun_start(config=base, config_name=base.hydra.job.config_name)
    with stoppable(function, base):
        for start in range(0, len(jobs), size):
            batch = [list(map(masked, job.overrides)) for job in jobs[start : start + size]]
            done = launcher.launch(batch, initial_job_idx=start)
            failures = [job._return_value for job in done if job.status == JobStatus.FAILED]
            if failures:
                break
    callbacks.on_multirun_end(config=base, config_name=base.hydra.job.config_name)
    return failures


@contextmanager
def stoppable(jobs: Jobs, base: DictConfig) -> Iterator[None]:
    """Make ``stop_signals`` stop the jobs, wherever they run. Raises Stopped at the end, if they were stopped."""
    if in_process(base):
        yield
        return
    if not jobs.one_by_one:
        os.environ["TQDM_DISABLE"] = "1"  # for the workers: bars of several processes overwrite each other
    try:
        with stopping(jobs.stop_file):
            yield
    finally:
        os.environ.pop("TQDM_DISABLE", None)


def show_plain_warnings() -> None:
    """Show each warning as one line, and hide those of libraries."""
    if warnings.showwarning is _show:
        return  # setting a filter again would show every warning again
    logging.captureWarnings(False)
    warnings.filterwarnings("ignore", module=r"(mlflow|torch|pydantic|hydra|omegaconf)\b.*")
    warnings.showwarning = _show


def _show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    say(f"{'note' if issubclass(category, Note) else 'warning'}: {message}")
