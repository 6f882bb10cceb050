"""``stargan-lab sweep``."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_overrides

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

    from stargan_lab.ablation.plan import Cell
    from stargan_lab.ablation.spec import Ablation

HYDRA = ("hydra/", "hydra.")
"""Overrides of the launcher and the like, which do not affect the runs."""

EPILOG = """\
Finished runs are not trained again; interrupted ones resume. `stargan-lab list ablations` shows what there is.

examples:
  stargan-lab sweep quickstart
  stargan-lab sweep quickstart --dry-run
  stargan-lab sweep head --preset small          another scale; its report is called head.small
  stargan-lab sweep quickstart seed=0,1 hydra/launcher=joblib"""


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "sweep", "train every variant and seed of an ablation, then write the report", run, EPILOG
    )
    name = parser.add_argument("name", metavar="NAME", help="ablation: experiments/NAME.yaml, yours or a built-in one")
    complete.attach(name, complete.ablations)
    preset = parser.add_argument(
        "--preset", metavar="PRESET", help="scale, one of the presets in the ablation file (default: its first)"
    )
    complete.attach(preset, complete.presets)
    add_overrides(parser, "overrides for every run; seed=0,1 selects seeds")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and exit")
    parser.add_argument("--status", action="store_true", help="show the status of each run and exit")
    parser.add_argument("-q", "--quiet", action="store_true", help="the same as the override quiet=true")
    parser.add_argument("--retry-failed", action="store_true", help="train failed runs again")
    parser.add_argument(
        "--allow-mixed", action="store_true", help="accept runs of different code or protocols in one report"
    )


def run(args: argparse.Namespace) -> int:
    """Train the unfinished cells of an ablation and report; 1 if a cell failed or is still unfinished."""
    from hydra.types import RunMode

    from stargan_lab.ablation.execute import dry_run, status_table
    from stargan_lab.ablation.plan import merge, plan
    from stargan_lab.ablation.spec import load
    from stargan_lab.cli.jobs import show_plain_warnings
    from stargan_lab.config.compose import compose_with, config_loader
    from stargan_lab.console import inform, quietly
    from stargan_lab.files import check_writable

    ablation = load(args.name, args.preset)
    config_dir = Path(args.config_dir) if args.config_dir else None
    overrides = [*args.overrides, *(["quiet=true"] if args.quiet else [])]
    show_plain_warnings()
    tasks = [override for override in overrides if not override.startswith(HYDRA)]
    cells = plan(ablation, tasks, config_dir)
    with quietly(all(cell.config.quiet for cell in cells)):
        if ablation.preset:
            inform(f"preset {ablation.preset} (--preset takes {', '.join(ablation.presets)})")
    if args.dry_run or args.status:
        print(dry_run(cells) if args.dry_run else status_table(cells))
        return 0
    check_writable("paths.outputs", Path(cells[0].config.paths.outputs))
    loader = config_loader(config_dir)
    base = compose_with(loader, merge(*ablation.base, *overrides), RunMode.MULTIRUN)
    with quietly(all(cell.config.quiet for cell in cells)):
        return _train_and_report(ablation, cells, base, loader, args)


def _train_and_report(
    ablation: "Ablation", cells: "Sequence[Cell]", base: "DictConfig", loader: "ConfigLoader", args: argparse.Namespace
) -> int:
    from stargan_lab.ablation.execute import distinct, folder_of, status, unfinished
    from stargan_lab.cli.jobs import Job, launch
    from stargan_lab.cli.report import Report, cells_file, collect_runs, write_and_print
    from stargan_lab.console import inform, outputs_flag, say
    from stargan_lab.errors import counted
    from stargan_lab.files import write_json
    from stargan_lab.report.pages import FORMATS
    from stargan_lab.runs.metadata import open_store
    from stargan_lab.tracking.reports import publish_report

    outputs = Path(cells[0].config.paths.outputs)
    runs = distinct(cells)
    inform(f"{ablation.title}: {len(ablation.variants)} variants, {counted(len(runs), 'run')}, in {outputs}")
    left = unfinished(cells, args.retry_failed)
    jobs = [Job(cell.overrides, cell.config, cell.run_id) for cell in left]
    launch(jobs, base, loader, skipped=[folder_of(cell) for cell in runs if cell not in left])
    write_json(cells_file(outputs, ablation), [[cell.variant, cell.seed, cell.run_id] for cell in cells])
    missing = [(cell, state) for cell in distinct(cells) if (state := status(cell)) != "finished"]
    for cell, state in missing:
        result = folder_of(cell).result() or {}
        say(f"{state}: {cell.title} (run {cell.run_id}) {result.get('error', '')}")
    tasks = [override for override in args.overrides if not override.startswith(HYDRA)]
    command = shlex.join(["stargan-lab", "sweep", ablation.name, *tasks])
    write_and_print(Report(ablation, collect_runs(ablation, outputs), command), outputs, FORMATS, args.allow_mixed)
    if (store := open_store(cells[0].config)) is not None:
        publish_report(store, cells_file(outputs, ablation).parent)
    if not missing:
        inform(f"next: stargan-lab ui {ablation.name}{outputs_flag(outputs)}")
    return 1 if missing else 0
