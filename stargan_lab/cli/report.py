"""``stargan-lab report``."""

import argparse
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_outputs, add_variadic

if TYPE_CHECKING:
    from pandas import DataFrame

    from stargan_lab.ablation.spec import Ablation

EPILOG = """\
examples:
  stargan-lab report quickstart
  stargan-lab report quickstart --format tex
  stargan-lab report quickstart --protocol 3f2a
  stargan-lab report --multirun latest --smallest-effect 0.05
  stargan-lab report --runs total_steps=3000 status=finished --by discriminator.norm,discriminator.bias"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "report", "write verdicts, tables and figures from recorded runs", run, EPILOG)
    names = add_variadic(parser, "names", nargs="*", metavar="NAME", help="ablations to report")
    complete.attach(names, complete.ablations)
    parser.add_argument(
        "--multirun",
        metavar="latest|DIR",
        help="report the runs of a train -m: the latest, or that in Hydra's sweep directory",
    )
    parser.add_argument(
        "--runs",
        nargs="*",
        metavar="KEY=VALUE",
        help="report runs that match these filters (none: all runs); requires --by",
    )
    parser.add_argument(
        "--by", metavar="KEY,KEY", help="with --runs or --multirun: the keys whose values define the variants"
    )
    parser.add_argument(
        "--baseline",
        metavar="VARIANT",
        help="with --runs or --multirun: compare with this variant (default: the one with the default values)",
    )
    parser.add_argument("--metric", metavar="NAME", help="primary metric, e.g. eval/edit")
    parser.add_argument(
        "--secondary", metavar="NAME,NAME", help="with --runs or --multirun: metrics with verdicts of their own"
    )
    parser.add_argument(
        "--seed-key",
        default="seed",
        metavar="KEY",
        help="with --runs or --multirun: the key that pairs runs (default: seed)",
    )
    parser.add_argument(
        "--smallest-effect",
        type=float,
        metavar="X",
        help="with --runs or --multirun: the smallest difference that matters, in units of the primary metric; without"
        " it, no variant can be equivalent",
    )
    parser.add_argument("--strip-seeds", type=int, default=1, metavar="N", help="runs per variant in the image strip")
    parser.add_argument(
        "--format",
        default="md,csv,html",
        metavar="md,csv,html,tex",
        help="comma-separated formats (default: md,csv,html)",
    )
    parser.add_argument("--from", dest="csv", metavar="FILE", help="read the runs from an earlier report's CSV file")
    parser.add_argument(
        "--allow-mixed", action="store_true", help="accept runs of different code or protocols in one report"
    )
    parser.add_argument(
        "--protocol", metavar="HASH", help="use the scores of this evaluation protocol; a prefix is enough"
    )
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Write and print the report of each ablation."""
    from stargan_lab.cli.report_of_runs import report_of_runs
    from stargan_lab.errors import ConfigError, LabError, unknown
    from stargan_lab.report.collect_runs import finished
    from stargan_lab.report.pages import FORMATS

    formats = args.format.split(",")
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"--format: {unknown('format', name, FORMATS)}")
    if args.csv and args.protocol:
        raise ConfigError("--protocol: a CSV file has one protocol per run; remove --from or --protocol")
    if bool(args.names) + (args.multirun is not None) + (args.runs is not None) != 1:
        raise ConfigError("name ablations, or use one of --multirun and --runs (see stargan-lab report --help)")
    outputs = Path(args.outputs)
    with _garbage_collection_paused():
        for report in _of_ablations(args, outputs) if args.names else [report_of_runs(args, outputs)]:
            if finished(report.runs).empty:
                raise LabError(f"{args.csv or outputs}: no finished runs of {report.ablation.name}; {report.hint}")
            write_and_print(report, outputs, formats, args.allow_mixed, args.strip_seeds)
    return 0


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """The records of many runs contain no garbage, but scanning them for cycles takes a tenth of a report's time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True)
class Report:
    """The input of a report.

    Attributes:
        runs: as ``report.collect_runs.collect`` returns them.
        command: repeats it.
        notes: lines shown under the title.
        hint: what to do if there are no finished runs.
        selection: arguments of ``evaluate`` that name the runs; empty: those of the ablation.
    """

    ablation: "Ablation"
    runs: "DataFrame"
    command: str = ""
    notes: Sequence[str] = ()
    hint: str = ""
    selection: str = ""


def _of_ablations(args: argparse.Namespace, outputs: Path) -> Iterator[Report]:
    from stargan_lab.ablation.spec import load
    from stargan_lab.errors import ConfigError
    from stargan_lab.report.runs_csv import read_csv
    from stargan_lab.report.swept import planned, read_swept

    if args.by or args.baseline or args.secondary or args.smallest_effect is not None:
        raise ConfigError(
            "--by, --baseline, --secondary, --smallest-effect: only with --runs or --multirun; an ablation file"
            " defines its own"
        )
    for name in args.names:
        path = cells_file(outputs, ablation := load(name))
        swept = read_swept(path)
        ablation = planned(ablation, swept, path)
        if args.metric:
            ablation = replace(ablation, primary=args.metric, smallest_effect=None, expected={})
        runs = read_csv(Path(args.csv)) if args.csv else collect_runs(ablation, outputs, args.protocol)
        command = (swept.command if swept else "") or f"stargan-lab sweep {name}"
        yield Report(ablation, runs, command, hint=f"run `{command}` first")


def collect_runs(ablation: "Ablation", outputs: Path, protocol: str | None = None) -> "DataFrame":
    """The runs of the last sweep, or of one without overrides if there was none; see ``collect_runs.collect``."""
    from stargan_lab.report.collect_runs import collect
    from stargan_lab.report.swept import read_swept

    if swept := read_swept(cells_file(outputs, ablation)):
        return collect(ablation, swept.cells, outputs, protocol)
    from stargan_lab.ablation.plan import plan  # slow to import

    return collect(ablation, [(cell.variant, cell.seed, cell.run_id) for cell in plan(ablation)], outputs, protocol)


def cells_file(outputs: Path, ablation: "Ablation") -> Path:
    """Path of what the ablation's last sweep recorded; see ``report.swept``."""
    return outputs / "reports" / ablation.name / "cells.json"


def write_and_print(
    report: Report, outputs: Path, formats: Sequence[str], allow_mixed: bool, strip_seeds: int = 1
) -> None:
    """Write the report's files and print its text."""
    from stargan_lab.console import say
    from stargan_lab.report.content import content_of
    from stargan_lab.report.pages import report_text, write_report

    content = content_of(report.ablation, report.runs, report.command, report.notes, report.selection)
    folder = outputs / "reports" / report.ablation.name
    paths = write_report(content, folder, formats, allow_mixed, strip_seeds=strip_seeds)
    print(report_text(content))
    for path in paths:
        say(f"wrote {path}")
