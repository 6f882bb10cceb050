"""The runs of a sweep: plan them, train those that are left, write the report."""

import json
import shlex
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write
from pandas import DataFrame

from stargan_lab.ablation.execute import count_unfinished, distinct, folder_of, state, unfinished
from stargan_lab.ablation.plan import Cell, merge, plan
from stargan_lab.ablation.spec import Ablation
from stargan_lab.cli.capacity import Capacity
from stargan_lab.cli.jobs import Job, launch
from stargan_lab.cli.launcher_settings import at_a_time, trains_here
from stargan_lab.cli.report import Report, cells_file, write_and_print
from stargan_lab.config.compose import compose_with, config_loader
from stargan_lab.console import inform, outputs_flag, say
from stargan_lab.errors import LockedError, counted
from stargan_lab.files import check_writable
from stargan_lab.report.collect_runs import collect
from stargan_lab.report.pages import FORMATS
from stargan_lab.report.swept import SeedPlan, Swept
from stargan_lab.runs.metadata import open_store
from stargan_lab.tracking.reports import publish_report
from stargan_lab.tracking.store import StoreError
from stargan_lab.tracking.sync import publish_missing
from stargan_lab.tracking.uri import masked

LAUNCHER = "hydra/launcher=joblib"
"""A sweep's default: as many runs at a time as fit on this machine."""

HYDRA = ("hydra/", "hydra.")
"""Overrides of the launcher and the like, which do not affect the runs."""


def of_runs(overrides: Sequence[str]) -> list[str]:
    """The overrides that affect the runs."""
    return [override for override in overrides if not override.startswith(HYDRA)]


def on_this_machine(overrides: Sequence[str], config_dir: Path | None) -> bool:
    """Whether the launcher that the overrides choose, of which later ones win, trains here. Raises ConfigError."""
    chosen = [override for override in overrides if override.startswith(HYDRA)]
    if not chosen:
        return True
    return trains_here(compose_with(config_loader(config_dir), merge(*chosen), RunMode.MULTIRUN).hydra.launcher)


@dataclass(frozen=True)
class SweepRun:
    """One sweep of an ablation.

    Attributes:
        ablation: with its looks, if the sweep has a plan.
        first: the cells with the ablation's or the command's seeds, at least one.
        overrides: those of the command line, for all runs and for Hydra.
        plan: the plan of the looks; None: the cells are trained and reported once.
        failures: the errors of the jobs that ``train`` has run.
    """

    ablation: Ablation
    first: Sequence[Cell]
    overrides: Sequence[str]
    config_dir: Path | None = None
    retry_failed: bool = False
    allow_mixed: bool = False
    plan: SeedPlan | None = None
    failures: list[Exception] = field(default_factory=list)

    def cells(self, seeds: Sequence[int]) -> list[Cell]:
        """The cells of all variants with these seeds."""
        chosen = f"seed={','.join(map(str, seeds))}"
        here = on_this_machine([*self.ablation.base, *self.overrides], self.config_dir)
        return plan(self.ablation, [*of_runs(self.overrides), chosen], self.config_dir, here)

    @property
    def outputs(self) -> Path:
        return Path(self.first[0].config.paths.outputs)

    @property
    def cells_file(self) -> Path:
        return cells_file(self.outputs, self.ablation)

    @property
    def command(self) -> str:
        """The command that repeats or continues the sweep."""
        flags = ["--config-dir", str(self.config_dir)] if self.config_dir else []
        flags += ["--allow-mixed"] if self.allow_mixed else []
        flags += self.plan.flags if self.plan else ()
        return masked(shlex.join(["stargan-lab", "sweep", self.ablation.name, *self.overrides, *flags]))

    @cached_property
    def _launching(self) -> tuple[DictConfig, ConfigLoader]:
        """What all jobs share. Raises ConfigError for invalid settings of the launcher."""
        loader = config_loader(self.config_dir)
        return compose_with(loader, merge(LAUNCHER, *self.ablation.base, *self.overrides), RunMode.MULTIRUN), loader

    def train(self, cells: Sequence[Cell], earlier: Sequence[Cell] = ()) -> DataFrame:
        """Record the cells and train those that are left; returns the runs of all, as ``report.collect_runs.collect``.

        Args:
            earlier: cells that an earlier call has trained.
        """
        together = [*earlier, *cells]
        check_writable("paths.outputs", self.outputs)
        base, loader = self._launching
        base = self._of_look(base, len({cell.seed for cell in together}))
        left = unfinished(cells, self.retry_failed)
        named = [(cell.variant, cell.seed, cell.run_id) for cell in together]
        Swept(named, self.plan, self.command).write(self.cells_file)
        jobs = [Job(cell.overrides, cell.config, cell.run_id) for cell in left]
        trained = {job.run_id for job in jobs}
        skipped = [folder_of(cell) for cell in distinct(together) if cell.run_id not in trained]
        failed = launch(jobs, base, loader, skipped=skipped, parallel=self._parallel, retry_failed=self.retry_failed)
        self.failures.extend(failed)
        return collect(self.ablation, named, self.outputs)

    def _of_look(self, base: DictConfig, seeds: int) -> DictConfig:
        """Hydra's settings with a directory for the look at this number of seeds; unchanged without a plan."""
        if self.plan is None:
            return base
        directory = Path(base.hydra.sweep.dir) / f"look-{seeds - self.plan.looks[0] + 1}"
        changed = deepcopy(base)
        with open_dict(changed), read_write(changed):
            changed.hydra.sweep.dir = str(directory)
            changed.hydra.overrides.hydra.append(f"hydra.sweep.dir={json.dumps(str(directory))}")  # for every job
        return changed

    @cached_property
    def _parallel(self) -> Capacity:
        """How many runs are trained at a time if there are enough. Determined once: with GPUs it takes a process that
        imports torch, and the free memory changes.
        """
        return at_a_time(self._launching[0], [cell.config for cell in self.first])

    def at_a_time(self, cells: Sequence[Cell]) -> Capacity:
        """How many of the cells that are left are trained at a time; of all if none is left."""
        return self._parallel.limited_to(count_unfinished(cells, self.retry_failed) or len(distinct(cells)))

    def announce(self, cells: Sequence[Cell]) -> None:
        variants, every = counted(len(self.ablation.variants), "variant"), len(distinct(cells))
        left = count_unfinished(cells, self.retry_failed)
        runs = counted(every, "run") + (f" ({left:,} left)" if left < every else "")
        parallel = self._parallel.limited_to(left or every).text()
        inform(f"{self.ablation.title}: {variants}, {runs}, {parallel}, in {self.outputs}")

    def report(self, cells: Sequence[Cell], runs: DataFrame) -> int:
        """Write the report of trained cells; 1 if one of them failed or is still unfinished, or its job failed."""
        missing = [(cell, now) for cell in distinct(cells) if (now := state(cell)).status != "finished"]
        for cell, now in missing:
            say(f"{now.status}: {cell.title} (run {cell.run_id}) {now.reason}".rstrip())
        write_and_print(Report(self.ablation, runs, self.command), self.outputs, FORMATS, self.allow_mixed)
        try:
            if (store := open_store(self.first[0].config)) is not None:
                publish_missing(store, [folder_of(cell) for cell in distinct(cells)])
                publish_report(store, self.cells_file.parent)
        except StoreError as error:
            say(f"warning: {error}; `stargan-lab track sync` publishes the report later")
        if not missing:
            inform(f"next: stargan-lab ui {self.ablation.name}{outputs_flag(self.outputs)}")
        # a LockedError: another sweep trained the run
        unexpected = any(not isinstance(error, LockedError) for error in self.failures)
        return 1 if missing or unexpected else 0
