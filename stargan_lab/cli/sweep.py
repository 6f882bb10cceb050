"""``stargan-lab sweep``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_overrides

MAX_SEEDS = 20
"""Default of --max-seeds."""

EPILOG = """\
As many runs are trained at a time as fit on this machine (cores // trainer.threads, free memory); hydra.launcher.n_jobs
sets their number, hydra/launcher=NAME chooses another launcher (docs/launchers.md).

Finished runs are not trained again; interrupted ones resume; failed ones are left out unless --retry-failed is given
(`train` always tries a failed run again). `stargan-lab list ablations` lists the ablations.

--until-decided computes the verdicts on the primary metric after the ablation's seeds, then adds one seed at a time to
the undecided variants and their baselines, until none is left or --max-seeds is reached. Intervals and p-values are
corrected for testing repeatedly. The correction depends on the plan, so the first command fixes the plan. The same
command resumes it, and `report` uses it too.

examples:
  stargan-lab sweep quickstart
  stargan-lab sweep quickstart --dry-run
  stargan-lab sweep head --preset small          a larger scale; its report is called head.small
  stargan-lab sweep quickstart seed=0,1 hydra/launcher=basic          one run after another
  stargan-lab sweep quickstart --until-decided --max-seeds 12"""


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands, "sweep", "train every variant and seed of an ablation, then write the report", run, EPILOG
    )
    name = parser.add_argument("name", metavar="NAME", help="ablation: experiments/NAME.yaml, yours or a built-in one")
    complete.attach(name, complete.ablations)
    preset = parser.add_argument(
        "--preset", metavar="PRESET", help="preset (scale) in the ablation file (default: the first)"
    )
    complete.attach(preset, complete.presets)
    add_overrides(parser, "overrides for every run; seed=0,1 selects seeds")
    parser.add_argument(
        "--until-decided", action="store_true", help="add seeds to undecided variants until all are decided"
    )
    parser.add_argument(
        "--max-seeds",
        type=int,
        metavar="N",
        help=f"with --until-decided: the largest number of seeds (default: {MAX_SEEDS})",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the runs, estimate the time left, and exit")
    parser.add_argument("--status", action="store_true", help="show the status of each run, why it failed, and exit")
    parser.add_argument("-q", "--quiet", action="store_true", help="the same as the override quiet=true")
    parser.add_argument("--retry-failed", action="store_true", help="train failed runs again")
    parser.add_argument(
        "--allow-mixed", action="store_true", help="accept runs of different code or protocols in one report"
    )


def run(args: argparse.Namespace) -> int:
    """Train the unfinished cells of an ablation and report; 1 if a cell failed or is still unfinished."""
    from stargan_lab.ablation.spec import load
    from stargan_lab.errors import ConfigError

    if args.max_seeds is not None and not args.until_decided:
        raise ConfigError("--max-seeds: only with --until-decided")
    ablation = load(args.name, args.preset)
    config_dir = Path(args.config_dir) if args.config_dir else None
    overrides = [*args.overrides, *(["quiet=true"] if args.quiet else [])]
    if not (args.dry_run or args.status or _names_launcher([*ablation.base, *overrides])):
        from hydra_plugins.stargan_lab_launchers.processes import start_server

        start_server()  # it imports what the runs need, while this process imports the rest and plans them

    from stargan_lab.ablation.execute import dry_run, status_table
    from stargan_lab.ablation.plan import plan
    from stargan_lab.cli import until_decided
    from stargan_lab.cli.jobs import show_plain_warnings
    from stargan_lab.cli.sweep_run import SweepRun, of_runs, on_this_machine
    from stargan_lab.console import inform, quietly

    show_plain_warnings()
    cells = plan(ablation, of_runs(overrides), config_dir, on_this_machine([*ablation.base, *overrides], config_dir))
    sweep = SweepRun(ablation, cells, overrides, config_dir, args.retry_failed, args.allow_mixed)
    with quietly(all(cell.config.quiet for cell in cells)):
        if ablation.preset:
            inform(f"preset {ablation.preset} (available: {', '.join(ablation.presets)})")
        if args.until_decided:
            sweep, cells = until_decided.begin(sweep, args.max_seeds)
        if args.dry_run or args.status:
            print(dry_run(cells, sweep.at_a_time(cells).runs) if args.dry_run else status_table(cells))
            if sweep.plan:
                print(until_decided.prospect(sweep, cells))
            return 0
        if sweep.plan:
            return until_decided.train_and_report(sweep, cells)
        until_decided.refuse_begun(sweep)
        sweep.announce(cells)
        return sweep.report(cells, sweep.train(cells))


def _names_launcher(overrides: Sequence[str]) -> bool:
    """Whether the overrides choose a launcher; the default one starts processes on this machine."""
    return any(override.startswith("hydra/launcher") for override in overrides)
