"""The report of a multirun, or of any runs."""

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli.report import Report

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class _Selection:
    """Runs whose report was requested, by a multirun or by filters.

    Attributes:
        by: the keys whose values define the variants.
        runs: as ``load_runs`` returns them.
        flags: of ``report``, which select them.
        groups: those of ``by`` that are groups with a choice for each run.
        command: trains them; empty if unknown.
        of_evaluate: arguments of ``evaluate`` that name them.
    """

    name: str
    by: Sequence[str]
    runs: "DataFrame"
    flags: Sequence[str]
    groups: Sequence[str] = ()
    command: str = ""
    notes: Sequence[str] = ()
    of_evaluate: str = "RUN_IDS"


def report_of_runs(args: argparse.Namespace, outputs: Path) -> Report:
    """The report of a multirun, or of any runs."""
    from stargan_lab.report.collect_runs import collect
    from stargan_lab.report.from_runs import ablation_of, also_differing
    from stargan_lab.report.query import main_score

    selection = _of_multirun(args, outputs) if args.multirun is not None else _filtered(args, outputs)
    by, selected = selection.by, selection.runs
    primary = args.metric or main_score(selected)
    options = (args.baseline, args.seed_key, args.smallest_effect, args.multirun is None)
    ablation, cells = ablation_of(selected, by, selection.name, primary, *options)
    ablation = replace(ablation, secondary=tuple(args.secondary.split(",")) if args.secondary else ())
    notes = [*selection.notes]
    if differing := also_differing(selected, [*by, args.seed_key], [key for key in by if key in selection.groups]):
        notes.append(f"the runs also differ in {', '.join(differing)}, which may explain a difference")
    runs = collect(ablation, cells, outputs, args.protocol)
    commands = [command for command in (selection.command, _command(args, selection.flags)) if command]
    return Report(
        ablation, runs, " && ".join(commands), notes, "wait for the training to finish", selection.of_evaluate
    )


def _of_multirun(args: argparse.Namespace, outputs: Path) -> _Selection:
    from stargan_lab.cli.multirun import multirun_directory, read_multirun, runs_of
    from stargan_lab.errors import LabError, counted

    multirun = read_multirun(directory := multirun_directory(args.multirun, outputs))
    runs = runs_of(multirun, outputs)
    if runs.empty:
        raise LabError(f"{directory}: none of the {counted(len(multirun.runs), 'run')} has started")
    missing = len(multirun.runs) - len(runs)
    return _Selection(
        name=multirun.name,
        by=args.by.split(",") if args.by else multirun.by,
        runs=runs,
        flags=["--multirun", str(directory), *(["--by", args.by] if args.by else [])],
        groups=[*dict.fromkeys(group for chosen in multirun.choices.values() for group in chosen)],
        command=multirun.command,
        notes=[f"{counted(missing, 'run')} of the multirun not started, or deleted"] if missing else [],
        of_evaluate=f"--multirun {shlex.quote(str(directory))}",
    )


def _filtered(args: argparse.Namespace, outputs: Path) -> _Selection:
    from stargan_lab.errors import ConfigError, LabError
    from stargan_lab.report.query import load_runs

    if not args.by:
        raise ConfigError(
            "--runs: requires --by, the keys whose values define the variants, e.g. --by discriminator.norm"
        )
    by, filters = args.by.split(","), args.runs
    if args.seed_key in by:
        raise ConfigError(f"--by: {args.seed_key} pairs the runs; name other keys, or another --seed-key")
    runs = load_runs(outputs, *filters)
    if runs.empty:
        raise LabError(f"{outputs / 'runs'}: no runs match {' '.join(filters) or 'any filter'}")
    name = re.sub(r"[^\w.,=-]", "_", "-".join(["by", *by, *filters]))
    return _Selection(name, by, runs, ["--runs", *filters, "--by", args.by])


def _command(args: argparse.Namespace, selection: Sequence[str]) -> str:
    """What repeats the report of these runs."""
    flags = {"--baseline": args.baseline, "--metric": args.metric, "--secondary": args.secondary}
    flags |= {"--protocol": args.protocol, "--strip-seeds": args.strip_seeds if args.strip_seeds > 1 else None}
    flags |= {"--smallest-effect": args.smallest_effect and f"{args.smallest_effect:g}"}
    flags |= {"--seed-key": args.seed_key if args.seed_key != "seed" else None}
    flags |= {"--outputs": args.outputs if args.outputs != "outputs" else None}
    given = [part for flag, value in flags.items() if value for part in (flag, str(value))]
    mixed = ["--allow-mixed"] if args.allow_mixed else []
    return shlex.join(["stargan-lab", "report", *selection, *given, *mixed])
