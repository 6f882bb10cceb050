"""``stargan-lab evaluate``."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_outputs, add_variadic

if TYPE_CHECKING:
    from pandas import DataFrame

EPILOG = """\
examples:
  stargan-lab evaluate 3f2a                                      with the run's own evaluation settings
  stargan-lab evaluate 3f2a evaluation.extractor=inception evaluation.weights=download
  stargan-lab evaluate 3f2a 9c01 evaluation.max_images=500 --json
  stargan-lab evaluate --of quickstart evaluation.extractor=pixels
  stargan-lab evaluate --of quickstart evaluation.seed=1         again, to separate the sources of variance
  stargan-lab evaluate --multirun latest evaluation.seed=1
  stargan-lab evaluate 3f2a imports=[my_components]              a run with your own components
  stargan-lab evaluate 3f2a --again                              even if scores under this protocol exist"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "evaluate", "re-evaluate finished runs under another protocol", run, EPILOG)
    words = add_variadic(
        parser,
        "words",
        nargs="*",
        metavar="RUN_ID [key=value]",
        help="run ids (a prefix is enough), evaluation.* overrides, and imports=[MODULE] for a run's own components",
    )
    complete.attach(words, complete.runs_and_evaluation)
    ablation = parser.add_argument("--of", metavar="NAME", help="all finished runs of an ablation's last sweep")
    complete.attach(ablation, complete.ablations)
    parser.add_argument("--multirun", metavar="latest|DIR", help="all finished runs of a multirun")
    parser.add_argument("--again", action="store_true", help="re-evaluate even if scores under this protocol exist")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Re-evaluate finished runs and print their scores; 1 if one of several failed."""
    from stargan_lab.config.compose import key_of
    from stargan_lab.console import outputs_flag, say
    from stargan_lab.errors import ConfigError, DataError, LabError
    from stargan_lab.runs.reevaluate import evaluation_config, finished_run, reevaluate

    outputs = Path(args.outputs)
    overrides = [word for word in args.words if "=" in word]
    names = [word for word in args.words if "=" not in word]
    extractor = any(key_of(override) in ("evaluation.extractor", "evaluation.weights") for override in overrides)
    if args.of:
        names += _runs_of_ablation(args.of, outputs)
    if args.multirun:
        names += _runs_of_multirun(args.multirun, outputs)
    if not names:
        raise ConfigError(
            "RUN_ID: missing; name a finished run, an ablation with --of NAME, or a multirun with --multirun latest"
            " (see stargan-lab evaluate --help)"
        )
    runs = {run.run_id: run for run in (finished_run(outputs, name) for name in names)}
    configs = {run_id: evaluation_config(folder, overrides) for run_id, folder in runs.items()}  # errors before work
    records = []
    for run_id, folder in runs.items():
        try:
            record = reevaluate(folder, configs[run_id], again=args.again, need_weights=extractor)
        except LabError as error:
            if len(runs) == 1 or isinstance(error, ConfigError | DataError):  # these apply to every run
                raise
            say(f"run {run_id}: {error}")
            continue
        records.append(record)
        _print_notes(record, args.json)
        if not args.json:
            print(_scores(record))
    several = args.of or args.multirun
    if args.json:
        print(json.dumps(records[0] if len(runs) == 1 and not several else records, indent=2, allow_nan=False))
    selection = args.of or f"--multirun {args.multirun}"
    for protocol in dict.fromkeys(record["protocol"]["hash"] for record in records) if several else ():
        say(f"next: stargan-lab report {selection} --protocol {protocol}{outputs_flag(outputs)}")
    return 0 if len(records) == len(runs) else 1


def _runs_of_ablation(name: str, outputs: Path) -> list[str]:
    """Ids of the finished runs of an ablation's last sweep."""
    from stargan_lab.ablation.spec import load
    from stargan_lab.cli.report import collect_runs

    return _finished(collect_runs(load(name), outputs), name, f"run `stargan-lab sweep {name}` first")


def _runs_of_multirun(text: str, outputs: Path) -> list[str]:
    """Ids of the finished runs of a multirun."""
    from stargan_lab.cli.multirun import multirun_directory, read_multirun, runs_of

    multirun = read_multirun(multirun_directory(text, outputs))
    return _finished(runs_of(multirun, outputs), multirun.name, f"run `{multirun.command}` first")


def _finished(runs: "DataFrame", name: str, hint: str) -> list[str]:
    """The ids of the finished runs. Raises LabError if there are none."""
    from stargan_lab.console import say
    from stargan_lab.errors import LabError, counted

    finished = list(runs.loc[runs["status"] == "finished", "run_id"])
    if not finished:
        raise LabError(f"no finished runs of {name}; {hint}")
    if unfinished := len(runs) - len(finished):
        say(f"note: skipped {counted(unfinished, 'unfinished run')} of {name}")
    return finished


def _print_notes(record: Mapping[str, Any], as_json: bool) -> None:
    """Print notes to stderr, and warnings too if stdout is JSON."""
    from stargan_lab.console import say

    for note in record["notes"]:
        say(f"note: {note}")
    for warning in record["warnings"] if as_json else ():
        say(f"warning: {warning['text']}")


def _scores(record: Mapping[str, Any]) -> str:
    """The overall scores and warnings of one run, a line each."""
    from stargan_lab.tracking.metrics import lookup, order

    overall = sorted((name for name in record["metrics"] if name.count("/") == 1), key=order)
    rows = [(lookup(name).label, lookup(name).show(record["metrics"][name])) for name in overall]
    label_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(
        [
            f"run {record['run_id']}  step {record['step']:,}  protocol {record['protocol']['hash']}",
            *(f"  {label:<{label_width}}  {value:>{value_width}}" for label, value in rows),
            *(f"warning: {warning['text']}" for warning in record["warnings"]),
        ]
    )
