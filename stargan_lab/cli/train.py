"""``train``: one run, or with ``-m`` several, as a Hydra app with one-line errors."""

import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from stargan_lab.cli.hydra_files import without_passwords
from stargan_lab.cli.jobs import Jobs, check_job, check_run, launch, one_line_errors, show_plain_warnings, stoppable
from stargan_lab.cli.launcher_settings import n_jobs, with_n_jobs
from stargan_lab.cli.multirun import Multirun, command_of, name_of, swept_choices, swept_keys, tagged, values_of
from stargan_lab.config.compose import (
    CONFIG_MODULE,
    CONFIG_NAME,
    compose_with,
    config_loader,
    parse_override,
    resolve,
    without_surplus_options,
)
from stargan_lab.console import inform, is_alone, outputs_flag, quietly
from stargan_lab.errors import ConfigError
from stargan_lab.tracking.uri import masked


def train(arguments: Sequence[str]) -> int:
    """``stargan-lab train``; returns the exit code.

    Raises:
        LabError: the command line is invalid, or the run failed.
    """
    show_plain_warnings()
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    parsed = _parse(parser, arguments)
    loader = config_loader(parsed.config_dir)
    if parsed.help or parsed.hydra_help or parsed.shell_completion:  # even if overrides are invalid
        return _inform(parser, parsed)
    mode = RunMode.MULTIRUN if parsed.multirun else RunMode.RUN
    base = compose_with(loader, parsed.overrides, mode, parsed.config_name or CONFIG_NAME)
    if parsed.cfg or parsed.info:
        resolve(base, base.hydra)
        if parsed.cfg and not (parsed.multirun or parsed.info or parsed.run):
            trained = without_surplus_options(base, base.hydra)
            _Shown(trained, loader).show_cfg("", [], parsed.cfg, parsed.package, parsed.resolve)
            return 0
        return _inform(parser, parsed)
    configure_log(base.hydra.hydra_logging, base.hydra.verbose)
    if not parsed.multirun:
        return _train_one(base, loader, arguments)
    _train_several(base, loader)
    return 0


class _Shown(Hydra):
    """Prints a composition, which Hydra itself would compose again, with a preset's options for other components."""

    def __init__(self, composed: DictConfig, loader: ConfigLoader) -> None:
        super().__init__(composed.hydra.job.name, loader)
        self._composed = without_passwords(composed)

    def compose_config(self, *args: Any, **kwargs: Any) -> DictConfig:
        return self._composed


@one_line_errors()
def _train_one(base: DictConfig, loader: ConfigLoader, arguments: Sequence[str]) -> int:
    """Train one run, for several devices in as many processes; returns the exit code."""
    starts = is_alone() and OmegaConf.select(base, "trainer.devices") != 1
    with warnings.catch_warnings(action="ignore") if starts else nullcontext():  # the first process warns
        config = resolve(base, base.hydra)
    if starts and config.trainer.devices > 1:
        from stargan_lab.runs.local_processes import train_in_processes

        check_run(config, base.hydra)
        return train_in_processes(config, ["train", *arguments])
    from stargan_lab.runs.run import processes, run  # imports torch

    with processes(config) as world:
        with world.in_turn():
            check_run(config, base.hydra)
        if world.rank:
            run(config)  # without Hydra's files
        else:
            _run_as_job(without_passwords(base), loader, lambda composed: run(config))
    return 0


def _run_as_job(base: DictConfig, loader: ConfigLoader, task: TaskFunction) -> None:
    callbacks = Callbacks(base)
    callbacks.on_run_start(config=base, config_name=base.hydra.job.config_name)
    job = run_job(
        hydra_context=HydraContext(config_loader=loader, callbacks=callbacks),
        task_function=task,
        config=base,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    callbacks.on_run_end(config=base, config_name=base.hydra.job.config_name, job_return=job)
    if job.status == JobStatus.FAILED:
        raise job._return_value  # its property would print the overrides too


@one_line_errors()
def _train_several(base: DictConfig, loader: ConfigLoader) -> None:
    """Hydra's basic sweep, with every job composed and checked before the first one starts.

    Other sweepers may choose jobs based on earlier results, so their jobs are checked when they start.
    """
    sweeper = base.hydra.sweeper
    if not sweeper._target_.endswith(f".{BasicSweeper.__name__}"):
        if n_jobs(base) is None:
            base = with_n_jobs(base, [resolve(base, base.hydra)])
        jobs, base = Jobs(base), without_passwords(base)
        context = HydraContext(config_loader=loader, callbacks=Callbacks(base))
        plugin = Plugins.instance().instantiate_sweeper(config=base, hydra_context=context, task_function=jobs)
        with stoppable(jobs, base):
            plugin.sweep(arguments=list(base.hydra.overrides.task))
        return
    params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parsed = [parse_override(override, loader) for override in (*params, *base.hydra.overrides.task)]
    every = BasicSweeper.split_arguments(parsed, None)[0]
    directory, swept, checked = Path(base.hydra.sweep.dir), swept_keys(every), []
    choices = []
    for overrides in every:
        composed = compose_with(loader, [*base.hydra.overrides.hydra, *overrides], name=base.hydra.job.config_name)
        job = check_job(composed, composed.hydra, overrides)
        choices.append(swept_choices(composed.hydra, swept))
        checked.append(job._replace(config=tagged(directory, swept, job.config, choices[-1])))
    by, run_ids = tuple(values_of(checked[0].config, swept, choices[0])), tuple(job.run_id for job in checked)
    chosen = dict(zip(run_ids, choices, strict=True))
    Multirun(name_of(directory), by, run_ids, chosen, command_of(base.hydra)).write(directory)
    failures = launch(checked, base, loader, sweeper.max_batch_size)
    with quietly(checked[0].config.quiet):
        inform(f"next: stargan-lab report --multirun latest{outputs_flag(Path(checked[0].config.paths.outputs))}")
    if failures:
        raise failures[0]


def _inform(parser: ArgumentParser, parsed: Namespace) -> int:
    """Let Hydra show its help, configuration or plugins."""
    parsed.overrides = list(map(masked, parsed.overrides))
    try:
        _run_hydra(parsed, parser, train, f"pkg://{CONFIG_MODULE}", CONFIG_NAME)
    except ValueError as error:  # flags that exclude each other
        _refuse(str(error))
    return 0


def _parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Hydra's flags and overrides in any order; plain argparse takes overrides only on one side of the flags."""
    parsed = parser.parse_intermixed_args(list(arguments))
    for flag in ("config_path", "experimental_rerun"):
        if getattr(parsed, flag) is not None:
            _refuse(f"--{flag.replace('_', '-')} is not supported; use --config-dir to add YAML files")
    return parsed


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} (see stargan-lab train --help)")
