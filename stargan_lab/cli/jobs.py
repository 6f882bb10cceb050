"""Train several runs with Hydra's launchers, each with its validated configuration."""

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stargan_lab.config import RunConfig
from stargan_lab.config.compose import Note, resolve
from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError, one_line
from stargan_lab.files import check_writable
from stargan_lab.registry import import_user_modules


class Jobs:
    """Hydra's task function for several runs; launchers pickle it for their workers.

    Args:
        base: the composition that all jobs share.
        configs: one per job number; empty for a sweeper that creates jobs one by one; these are validated when they
            start.
    """

    def __init__(self, base: DictConfig, configs: Sequence[RunConfig] = ()) -> None:
        self.configs = configs
        self.stop_file = Path(base.hydra.sweep.dir).absolute() / "stopped"
        self.launcher_pid = os.getpid()

    def __call__(self, composed: DictConfig) -> Any:
        from stargan_lab.runs.run import run

        show_plain_warnings()
        if self.stop_file.exists():
            raise LabError("not started: the sweep was stopped")
        hydra: Any = HydraConfig.get()
        say(f"\n[{hydra.job.num + 1}{f'/{len(self.configs)}' if self.configs else ''}]")
        try:
            config = self.configs[hydra.job.num] if self.configs else check_job(composed, hydra)
            import_user_modules(config.imports)  # a worker is a new process
            return run(config)
        except LabError as error:
            say(f"failed: {error}")
            raise  # the launcher continues with the other jobs
        except KeyboardInterrupt as error:
            if os.getpid() == self.launcher_pid:
                raise
            self.stop_file.touch()  # in a worker an interrupt would kill the others before they have saved
            raise LabError("stopped") from error


def check_job(composed: DictConfig, hydra: DictConfig) -> RunConfig:
    """Validate the configuration of a job, and check that its outputs, device, data and weights are available.

    Raises:
        ConfigError, DataError: in one line.
    """
    from stargan_lab.runs.build import check_prerequisites

    config = resolve(composed, hydra)
    check_writable("paths.outputs", Path(config.paths.outputs))
    check_prerequisites(config)
    return config


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn Hydra's errors, e.g. about a launcher's settings, into a ConfigError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from None


@one_line_errors()
def launch(
    jobs: Sequence[tuple[Sequence[str], RunConfig]],
    base: DictConfig,
    loader: ConfigLoader,
    batch_size: int | None = None,
) -> list[Exception]:
    """Train every job, given as overrides and configuration, with the configured launcher.

    Args:
        batch_size: how many jobs the launcher gets at a time; after a failure, no further batch starts.
    Returns:
        The errors of the jobs that failed.
    Raises:
        KeyboardInterrupt: the jobs were stopped.
    """
    folder = Path(base.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(base, folder / "multirun.yaml")
    function, callbacks = Jobs(base, [config for _, config in jobs]), Callbacks(base)
    context = HydraContext(config_loader=loader, callbacks=callbacks)
    launcher = Plugins.instance().instantiate_launcher(config=base, hydra_context=context, task_function=function)
    size, failures = batch_size or max(len(jobs), 1), []
    callbacks.on_multirun_start(config=base, config_name=base.hydra.job.config_name)
    with stopping(function, base):
        for start in range(0, len(jobs), size):
            batch = [list(overrides) for overrides, _ in jobs[start : start + size]]
            done = launcher.launch(batch, initial_job_idx=start)
            failures = [job._return_value for job in done if job.status == JobStatus.FAILED]
            if failures:
                break
    callbacks.on_multirun_end(config=base, config_name=base.hydra.job.config_name)
    return failures


@contextmanager
def stopping(jobs: Jobs, base: DictConfig) -> Iterator[None]:
    """With a multi-process launcher, make Ctrl-C wait until the workers, which also receive it, have saved.

    Raises:
        KeyboardInterrupt: at the end, if the jobs were stopped.
    """
    if base.hydra.launcher._target_.endswith(f".{BasicLauncher.__name__}"):
        yield
        return
    jobs.stop_file.unlink(missing_ok=True)
    os.environ["TQDM_DISABLE"] = "1"  # for the workers: bars of several processes overwrite each other
    before = signal.signal(signal.SIGINT, lambda number, frame: jobs.stop_file.touch())
    try:
        yield
        if jobs.stop_file.exists():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
        del os.environ["TQDM_DISABLE"]
        jobs.stop_file.unlink(missing_ok=True)


def show_plain_warnings() -> None:
    """Show each warning as one line, and hide those of libraries."""
    logging.captureWarnings(False)
    warnings.filterwarnings("ignore", module=r"(mlflow|torch|pydantic|hydra|omegaconf)\b.*")
    warnings.showwarning = lambda message, category, *args, **kwargs: say(
        f"{'note' if issubclass(category, Note) else 'warning'}: {message}"
    )
