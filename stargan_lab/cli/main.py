"""The commands. Everything heavy is imported by the command that needs it, so that ``--help`` is quick."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from stargan_lab import __version__
from stargan_lab.cli import texts
from stargan_lab.errors import ConfigError, DataError, LabError, nearest

Command = Callable[..., argparse.ArgumentParser]
"""(name, ``module:function`` in ``cli``, what it does, further help) → its parser."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 refused, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Threads that spin while they wait make a step ten times slower as soon as anything else wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if arguments[:1] == ["train"]:  # Hydra's own command line, untouched
            from stargan_lab.cli.train import train

            return train(arguments[1:])
        if arguments[:1] == ["__complete"]:  # the shell asks at every TAB
            from stargan_lab.cli.completion import serve

            return serve(arguments[1:], _parser)
        parsed, rest = _parser().parse_known_args(arguments)
        return _with_overrides(parsed, rest)
    except LabError as error:
        return _refuse(error)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stopped:
        if type(stopped) is KeyboardInterrupt:  # a run that stopped in good order has said so
            print("interrupted", file=sys.stderr)
        return 130


def _refuse(error: LabError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2 if isinstance(error, ConfigError | DataError) else 1


def _with_overrides(parsed: argparse.Namespace, rest: list[str]) -> int:
    """Give what argparse does not know to the commands that take Hydra overrides; refuse it elsewhere."""
    flags = [word for word in rest if word.startswith("-")]
    taking = next((name for name in ("overrides", "words") if hasattr(parsed, name)), None)
    if flags or (rest and taking is None):
        parsed.parser.error(f"unrecognised: {' '.join(flags or rest)}")
    if rest and taking is not None:
        setattr(parsed, taking, [*getattr(parsed, taking), *rest])
    handler: Callable[[argparse.Namespace], int] = parsed.handler
    return handler(parsed)


class _Parser(argparse.ArgumentParser):
    """argparse with its refusals in one line, and with the nearest right word."""

    def error(self, message: str) -> NoReturn:
        found = re.match(r"argument \S+: invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if found:
            allowed = found.group(2).replace("'", "").split(", ")
            message = (
                f"unknown {found.group(1)!r}{nearest(found.group(1), allowed) or ';'} allowed: {', '.join(allowed)}"
            )
        raise ConfigError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("stargan-lab", description=texts.DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"stargan-lab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, place: str, summary: str, epilog: str | None = None) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        added.set_defaults(handler=_late(place), parser=added)
        if epilog is not None:
            added.epilog, added.formatter_class = epilog, argparse.RawDescriptionHelpFormatter
        return added

    command("train", "", "train one run, a plain Hydra app (train --help)")
    for add in (_add_sweep, _add_report, _add_scoring, _add_data, _add_guide, _add_exchange, _add_store):
        add(command)
    return parser


def _add_sweep(command: Command) -> None:
    sweep = command("sweep", "sweep:sweep", "train every variant and seed of an ablation, then report")
    sweep.add_argument("name", metavar="NAME", help="of experiments/NAME.yaml, one's own or a shipped one")
    sweep.add_argument("overrides", nargs="*", metavar="key=value", help="for every cell; seed=0,1 picks seeds")
    sweep.add_argument("--dry-run", action="store_true", help="show the cells and stop")
    sweep.add_argument("--status", action="store_true", help="show what became of each cell and stop")
    sweep.add_argument("--retry-failed", action="store_true", help="train failed cells again too")
    sweep.add_argument("--allow-mixed", action="store_true", help="report runs of different code or protocols together")
    _take_config_dir(sweep)


def _add_report(command: Command) -> None:
    report = command("report", "sweep:report", "tables and figures of one or more ablations, from what is recorded")
    report.add_argument("names", nargs="+", metavar="NAME")
    report.add_argument(
        "--format", default="md,csv,html", metavar="md,csv,html,tex", help="what to write (default: md,csv,html)"
    )
    report.add_argument("--from", dest="csv", metavar="RUNS.csv", help="read the runs from a report's own CSV")
    report.add_argument("--allow-mixed", action="store_true", help="put different code or protocols into one table")
    report.add_argument("--protocol", metavar="HASH", help="take the scores under this protocol; its beginning will do")
    _take_outputs(report, "where the runs are (default: outputs)")


def _add_scoring(command: Command) -> None:
    """Scores anew, and of any two folders."""
    again = command(
        "evaluate", "evaluate:evaluate", "score finished runs again, under another protocol", texts.EVALUATE
    )
    again.add_argument(
        "words",
        nargs="*",
        metavar="RUN_ID [key=value]",
        help="runs by id or its beginning; then evaluation.* overrides",
    )
    again.add_argument("--of", metavar="NAME", help="every finished run of an ablation's last sweep")
    again.add_argument("--again", action="store_true", help="score anew although there are scores under this protocol")
    again.add_argument("--json", action="store_true", help="print JSON")
    _take_outputs(again, "where the runs are (default: outputs)")

    fid = command("fid", "evaluate:fid", "the Fréchet distance of two folders of images", texts.FID)
    fid.add_argument("real", metavar="REAL", help="folder of images, or an .npz of pytorch-fid's --save-stats")
    fid.add_argument("fake", metavar="FAKE", help="the same")
    fid.add_argument("--features", default="inception", metavar="NAME", help="of an extractor (default: inception)")
    fid.add_argument("--dims", type=int, choices=[64, 192, 768, 2048], help="of Inception's features (default: 2048)")
    fid.add_argument("--weights", metavar="FILE|download", help="of the extractor (default: Inception's, from a cache)")
    fid.add_argument("--allow-unverified", action="store_true", help="take Inception weights that are not the official")
    fid.add_argument("--imports", metavar="MODULE,…", help="modules that register extractors of one's own")
    fid.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    _take_outputs(fid, "where statistics and weights are kept (default: outputs)")


def _add_data(command: Command) -> None:
    data = command("data", "data:data", "draw SynthFaces, check a dataset, pack it", texts.DATA)
    data.add_argument("action", choices=["make", "check", "pack"])
    data.add_argument("overrides", nargs="*", metavar="key=value", help="as for train, e.g. data=synthfaces")
    _take_config_dir(data)


def _add_guide(command: Command) -> None:
    """What there is."""
    listed = command(
        "list", "list:list_", "show everything that can be swapped or set, or all about one axis", texts.LIST
    )
    listed.add_argument("words", nargs="*", metavar="[AXIS] [key=value]", help="an axis, e.g. discriminator; overrides")
    listed.add_argument("--format", choices=["text", "md"], default="text", help="md is the page docs/components.md")
    _take_config_dir(listed)

    doctor = command(
        "doctor", "list:doctor", "say what this machine has for a configuration and what is next", texts.DOCTOR
    )
    doctor.add_argument("overrides", nargs="*", metavar="key=value", help="as for train, e.g. preset=quickstart")
    doctor.add_argument("--json", action="store_true", help="the same as JSON")
    _take_config_dir(doctor)

    completion = command(
        "completion", "list:completion", "print what lets the shell complete commands and keys", texts.COMPLETION
    )
    completion.add_argument("shell", choices=["bash"])


def _add_exchange(command: Command) -> None:
    """Networks out, and one's own pictures through them."""
    export = command("export", "translate:export", "write a run's networks as the reference's checkpoints, or as ONNX")
    translate = command("translate", "translate:translate", "translate one's own pictures")
    for added in (export, translate):
        added.add_argument(
            "what", metavar="RUN_OR_CHECKPOINT", help="a run's id, its beginning, folder or last.pt; or 200000-G.ckpt"
        )
    translate.add_argument("images", nargs="+", metavar="IMAGE", help="files and folders")
    export.add_argument("--format", choices=["reference", "onnx"], default="reference", help="(default: reference)")
    export.add_argument("--to", metavar="FILE_OR_FOLDER", help="(default: exports/NAME under the outputs)")
    translate.add_argument("--to", required=True, metavar="LABELS", help=texts.TO)
    translate.add_argument(
        "--from",
        dest="own",
        metavar="LABELS",
        help="comma-separated source labels; unlisted ones are 0 (default: predicted by the run's classifier)",
    )
    translate.add_argument("--out", metavar="DIR", help="(default: translations/NAME under the outputs)")
    translate.add_argument("--size", type=int, metavar="PX", help="side of input and output (default: as trained)")
    translate.add_argument("--crop", type=int, metavar="PX", help="centred square taken (default: the largest)")
    translate.add_argument(
        "--keep-aspect", action="store_true", help="take the whole picture, --size being its shorter side"
    )
    translate.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    for added in (export, translate):
        added.add_argument(
            "--ema",
            action=argparse.BooleanOptionalAction,
            help="the generator's average (default: where the run has one)",
        )
        added.add_argument("--attributes", metavar="A,B,…", help="names of a reference file's labels, in order")
        added.add_argument("--classes", metavar="A,B,…", help="names of its second dataset's classes, in order")
        _take_outputs(added, "where the runs are (default: outputs)")


def _add_store(command: Command) -> None:
    """MLflow's store and pages."""
    track = command("track", "ui:track", "rebuild the MLflow store from the runs' plain files")
    track.add_argument("action", choices=["sync"])
    ui = command("ui", "ui:ui", "MLflow's pages on 127.0.0.1, at the right one")
    ui.add_argument("name", nargs="?", metavar="NAME", help="of an ablation; none shows every run")
    ui.add_argument("--port", type=int, default=5000)
    for added in (track, ui):
        added.add_argument("--uri", help="of the MLflow store (default: sqlite in the outputs)")
        added.add_argument("--experiment", default="stargan-lab", help="of MLflow (default: stargan-lab)")
        _take_outputs(added, "where the runs are (default: outputs)")


def _take_config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config-dir", metavar="DIR", help="folder with further YAML files for the groups")


def _take_outputs(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--outputs", default="outputs", metavar="DIR", help=what)


def _late(place: str) -> Callable[[argparse.Namespace], int]:
    """A command's function by ``module:function``, imported when it is called."""
    module, _, name = place.partition(":")

    def handler(parsed: argparse.Namespace) -> int:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        return int(getattr(import_module(f"stargan_lab.cli.{module}"), name)(parsed))

    return handler


if __name__ == "__main__":
    sys.exit(main())
