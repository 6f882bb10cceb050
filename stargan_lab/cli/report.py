"""``stargan-lab report``."""

import argparse
from collections.abc import Sequence
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
  stargan-lab report quickstart --protocol 3f2a"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "report", "write tables and figures of ablations from recorded runs", run, EPILOG)
    names = add_variadic(parser, "names", nargs="+", metavar="NAME", help="ablations to report")
    complete.attach(names, complete.ablations)
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
    from stargan_lab.ablation.spec import load
    from stargan_lab.errors import ConfigError, LabError, unknown
    from stargan_lab.report.pages import FORMATS
    from stargan_lab.report.runs import finished, read_csv

    formats = args.format.split(",")
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"--format: {unknown('format', name, FORMATS)}")
    if args.csv and args.protocol:
        raise ConfigError("--protocol: a CSV file has one protocol per run; remove --from or --protocol")
    outputs = Path(args.outputs)
    for name in args.names:
        ablation = load(name)
        runs = read_csv(Path(args.csv)) if args.csv else collect_runs(ablation, outputs, args.protocol)
        if finished(runs).empty:
            raise LabError(f"{args.csv or outputs}: no finished runs of {name}; run `stargan-lab sweep {name}` first")
        print_report(ablation, runs, outputs, formats, args.allow_mixed)
    return 0


def collect_runs(ablation: "Ablation", outputs: Path, protocol: str | None = None) -> "DataFrame":
    """The runs of the last sweep, or of a sweep without overrides if there was none; see ``report.runs.collect``."""
    from stargan_lab.ablation.plan import plan
    from stargan_lab.files import read_json
    from stargan_lab.report.runs import collect

    path = cells_file(outputs, ablation)
    cells: list[tuple[str, int, str]]
    if path.exists():
        cells = [(str(variant), int(seed), str(run_id)) for variant, seed, run_id in read_json(path)]
    else:
        cells = [(cell.variant, cell.seed, cell.run_id) for cell in plan(ablation)]
    return collect(ablation, cells, outputs, protocol)


def cells_file(outputs: Path, ablation: "Ablation") -> Path:
    """Path of the list of cells in the ablation's last sweep."""
    return outputs / "reports" / ablation.name / "cells.json"


def print_report(
    ablation: "Ablation", runs: "DataFrame", outputs: Path, formats: Sequence[str], allow_mixed: bool
) -> None:
    """Write the report's files and print its table."""
    from stargan_lab.console import say
    from stargan_lab.report.pages import report_text, write_report

    paths = write_report(ablation, runs, outputs / "reports" / ablation.name, formats, allow_mixed)
    print(report_text(ablation, runs))
    for path in paths:
        say(f"wrote {path}")
