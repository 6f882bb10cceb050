"""``train`` and ``sweep`` as Hydra apps, with errors a person can act on."""

import logging
import os
import signal
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra_plugins.stargan_lab import AblationSweeper
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from stargan_lab.config import RunConfig
from stargan_lab.config.compose import CONFIG_MODULE, compose_raw, resolve
from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import check_writable

_PASSIVE = ("--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc")
"""Flags with which Hydra only tells something and overrides need not be right."""


_LAUNCHER = "STARGAN_LAB_LAUNCHER"
"""Environment variable with the process that launches jobs, so that a job knows whether it runs in a worker."""

_stopped = False
"""In a worker: Ctrl-C ended a run, so the jobs after it are not begun."""


class _Outcome:
    """What the last single run came to; a multirun's jobs report through Hydra instead."""

    error: LabError | None = None


@hydra.main(config_path=f"pkg://{CONFIG_MODULE}", config_name="config", version_base="1.3")
def _job(config: DictConfig) -> Any:
    from stargan_lab.runs.finished import update_finished
    from stargan_lab.runs.run import run

    global _stopped
    _quiet()
    hydra_config = HydraConfig.get()
    multirun = hydra_config.mode == RunMode.MULTIRUN
    if _stopped:
        raise LabError("not begun: the sweep was stopped")
    if multirun:
        total = hydra_config.sweeper.get("cells") or "?"
        say(f"\n[{hydra_config.job.num + 1}{'' if total == '?' else f'/{total}'}]")
    try:
        resolved = resolve(config)
        result = run(resolved)
        update_finished(resolved, result["run_id"])
        return result
    except LabError as error:
        if multirun:
            say(f"failed: {error}")
            raise  # the launcher goes on with the others
        _Outcome.error = error
        return None
    except KeyboardInterrupt as error:
        if os.environ.get(_LAUNCHER) == str(os.getpid()):
            raise
        _stopped = True  # a launcher's worker: raising Ctrl-C would kill its siblings before they have saved
        raise LabError("stopped") from error


def train(arguments: Sequence[str]) -> int:
    """``stargan-lab train``; returns the exit code.

    Raises:
        LabError: refused before any work, or failed in a way the user can mend.
    """
    arguments = _overrides_last(arguments)
    if not any(flag in arguments for flag in _PASSIVE):
        preflight(arguments)
    launch(arguments)
    if _Outcome.error is not None:
        raise _Outcome.error
    return 0


def launch(arguments: Sequence[str]) -> Any:
    """Hand a command line to Hydra. Exceptions come through instead of being printed with a traceback and an exit."""
    _quiet()
    Plugins.instance().register(AblationSweeper)  # an editable install hides namespace packages from Hydra's own search
    sys.argv = ["stargan-lab train", *arguments]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    os.environ[_LAUNCHER] = str(os.getpid())
    others = any(a.startswith("hydra/launcher=") and not a.endswith("=basic") for a in arguments)
    try:
        with _patient_with_workers() if others else nullcontext():
            return _job()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from None


@contextmanager
def _patient_with_workers() -> Iterator[None]:
    """Ctrl-C reaches the workers themselves; wait for them to save, and only then end."""
    os.environ["TQDM_DISABLE"] = "1"  # for the workers: bars of several processes overwrite each other
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        del os.environ["TQDM_DISABLE"]
    if asked:
        raise KeyboardInterrupt


def preflight(arguments: Sequence[str]) -> None:
    """Compose and check every job of a command line, and its data, before the first one starts.

    Raises:
        ConfigError, DataError: in one line.
    """
    parsed = _hydras_parser().parse_args(list(arguments))
    tasks = [o for o in parsed.overrides if not _is_hydra(o)]
    for job in _jobs(tasks) if parsed.multirun else [tasks]:
        config = resolve(compose_raw(job, parsed.config_dir))
        check_writable("paths.outputs", Path(config.paths.outputs))
        if parsed.cfg is None and not parsed.info:
            _look_around(config)


def _hydras_parser() -> ArgumentParser:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    return parser


def _overrides_last(arguments: Sequence[str]) -> list[str]:
    """Flags first: argparse takes overrides on one side of them only, so ``a=1 -m b=2`` would be refused."""
    overrides = _hydras_parser().parse_intermixed_args(list(arguments)).overrides
    return [word for word in arguments if word not in overrides] + overrides


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} (see stargan-lab train --help)")


def _look_around(config: RunConfig) -> None:
    """Raises ConfigError or DataError when a device, a dataset or a file of weights is not there."""
    from stargan_lab.runs.build import check_surroundings

    check_surroundings(config)


def _jobs(overrides: Sequence[str]) -> list[list[str]]:
    """The cartesian product that Hydra's basic sweeper would run."""
    parser, parsed = OverridesParser.create(), []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{override}: not an override; write key=value ({reason})") from None
    try:
        return BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split())) from None


def _is_hydra(override: str) -> bool:
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))


def _quiet() -> None:
    """Keep the libraries' own remarks off the terminal; ours are one line each."""
    logging.captureWarnings(False)
    warnings.filterwarnings("ignore", module=r"(mlflow|torch|pydantic|hydra|omegaconf)\b.*")
    warnings.showwarning = lambda message, *args, **kwargs: say(f"warning: {message}")
