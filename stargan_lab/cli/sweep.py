"""``stargan-lab sweep``."""

import argparse
import shlex
from pathlib import Path

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_overrides

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
    parser.add_argument("--retry-failed", action="store_true", help="train failed runs again")
    parser.add_argument(
        "--allow-mixed", action="store_true", help="accept runs of different code or protocols in one report"
    )


def run(args: argparse.Namespace) -> int:
    """Train the unfinished cells of an ablation and report; 1 if a cell failed or is still unfinished."""
    from hydra.types import RunMode

    from stargan_lab.ablation.execute import distinct, dry_run, status, status_table, unfinished
    from stargan_lab.ablation.plan import merge, plan
    from stargan_lab.ablation.spec import load
    from stargan_lab.cli.jobs import launch, show_plain_warnings
    from stargan_lab.cli.report import Report, cells_file, collect_runs, write_and_print
    from stargan_lab.config.compose import compose_with, config_loader
    from stargan_lab.console import outputs_flag, say
    from stargan_lab.errors import counted
    from stargan_lab.files import check_writable, write_json
    from stargan_lab.report.pages import FORMATS
    from stargan_lab.tracking.run_folder import RunFolder

    ablation = load(args.name, args.preset)
    if ablation.preset:
        say(f"preset {ablation.preset} (--preset takes {', '.join(ablation.presets)})")
    config_dir = Path(args.config_dir) if args.config_dir else None
    show_plain_warnings()
    tasks = [override for override in args.overrides if not override.startswith(("hydra/", "hydra."))]
    cells = plan(ablation, tasks, config_dir)
    if args.dry_run or args.status:
        print(dry_run(cells) if args.dry_run else status_table(cells))
        return 0
    outputs = Path(cells[0].config.paths.outputs)
    check_writable("paths.outputs", outputs)
    loader = config_loader(config_dir)
    base = compose_with(loader, merge(*ablation.base, *args.overrides), RunMode.MULTIRUN)
    say(f"{ablation.title}: {len(ablation.variants)} variants, {counted(len(distinct(cells)), 'run')}, in {outputs}")
    launch([(cell.overrides, cell.config) for cell in unfinished(cells, args.retry_failed)], base, loader)
    write_json(cells_file(outputs, ablation), [[cell.variant, cell.seed, cell.run_id] for cell in cells])
    missing = [(cell, state) for cell in distinct(cells) if (state := status(cell)) != "finished"]
    for cell, state in missing:
        result = RunFolder(outputs / "runs" / cell.run_id).result() or {}
        say(f"{state}: {cell.title} (run {cell.run_id}) {result.get('error', '')}")
    command = shlex.join(["stargan-lab", "sweep", ablation.name, *args.overrides])
    write_and_print(Report(ablation, collect_runs(ablation, outputs), command), outputs, FORMATS, args.allow_mixed)
    if not missing:
        say(f"next: stargan-lab ui {ablation.name}{outputs_flag(outputs)}")
    return 1 if missing else 0
