"""The commands. Everything heavy is imported by the command that needs it, so that ``--help`` is quick."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from stargan_lab import __version__
from stargan_lab.errors import ConfigError, DataError, LabError, nearest

_DESCRIPTION = """\
A laboratory for StarGAN: swap any part, train every variant over several seeds, and see what helped.

  stargan-lab train preset=quickstart          one run, a few minutes on two cores, draws its own data
  stargan-lab sweep quickstart                 nine runs: three norms of the discriminator, three seeds, and a report
  stargan-lab ui quickstart                    the same runs in MLflow's pages

Everything is written below outputs/ of the current folder."""


_LIST_EXAMPLES = """\
examples:
  stargan-lab list                               every axis, its names and values
  stargan-lab list discriminator                 its options: default, what they take, what they mean, and the source
  stargan-lab list discriminator.norm            the names one option takes
  stargan-lab list norm imports=[my_norms]       your own registered parts among them
  stargan-lab list generator --config-dir conf   your own YAML files among them"""

_DOCTOR_HELP = """\
Looks only: nothing is written, no work begins. Every line is ok, note (worth knowing) or problem (the configuration
cannot run). Ends with 0, or with 1 after a problem. Without key=value the machine is looked at; that the default
configuration's dataset is missing is then a note.

examples:
  stargan-lab doctor
  stargan-lab doctor preset=quickstart
  stargan-lab doctor data.sources.celeba.root=/data/celeba trainer.device=cuda trainer.precision=bfloat16"""

_COMPLETION_HELP = """\
turn it on for this shell:
  eval "$(stargan-lab completion bash)"
and for every new one, with stargan-lab on the path:
  echo 'eval "$(stargan-lab completion bash)"' >> ~/.bashrc
then TAB completes commands, flags, groups, keys and their values, hypotheses and run ids:
  stargan-lab train preset=q<TAB>
  stargan-lab train generator.<TAB>
  stargan-lab sweep <TAB>"""

_DATA = """\
make    draw what is missing (by default data=synthfaces) and pack it
check   look through a dataset: what is broken, missing, doubled; 1 when there is a problem
pack    crop and resize every image once, as training would at its start

  stargan-lab data make data=synthfaces data.image_size=64 data.sources.faces.train=1000
  stargan-lab data check data=rafd data.sources.rafd.root=/data/RaFD
  stargan-lab data pack data.sources.celeba.root=/data/celeba"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 refused, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Threads that spin while they wait make a step ten times slower as soon as anything else wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if arguments[:1] == ["train"]:  # Hydra's own command line, untouched
            from stargan_lab.app import train

            return train(arguments[1:])
        if arguments[:1] == ["__complete"]:  # the shell asks at every TAB
            from stargan_lab.guide.completion import serve

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
    if flags or (rest and not hasattr(parsed, "overrides")):
        parsed.parser.error(f"unrecognised: {' '.join(flags or rest)}")
    if rest:
        parsed.overrides = [*parsed.overrides, *rest]
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
    parser = _Parser("stargan-lab", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"stargan-lab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, handler: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        added.set_defaults(handler=handler, parser=added)
        return added

    command("train", _train, "train one run, a plain Hydra app (train --help)")

    sweep = command("sweep", _late("sweeping:sweep"), "train every variant and seed of a hypothesis, then report")
    sweep.add_argument("name", metavar="NAME", help="of experiments/NAME.yaml, one's own or a shipped one")
    sweep.add_argument("overrides", nargs="*", metavar="key=value", help="for every cell; seed=0,1 picks seeds")
    sweep.add_argument("--dry-run", action="store_true", help="show the cells and stop")
    sweep.add_argument("--status", action="store_true", help="show what became of each cell and stop")
    sweep.add_argument("--retry-failed", action="store_true", help="train failed cells again too")
    sweep.add_argument("--allow-mixed", action="store_true", help="report runs of different code or protocols together")
    sweep.add_argument("--config-dir", metavar="DIR", help="folder with further YAML files for the groups")

    report = command(
        "report", _late("sweeping:report"), "tables and figures of one or more hypotheses, from what is recorded"
    )
    report.add_argument("names", nargs="+", metavar="NAME")
    report.add_argument(
        "--format", default="md,csv,html", metavar="md,csv,html,tex", help="what to write (default: md,csv,html)"
    )
    report.add_argument("--from", dest="csv", metavar="RUNS.csv", help="read the runs from a report's own CSV")
    report.add_argument("--outputs", default="outputs", metavar="DIR", help="where the runs are (default: outputs)")
    report.add_argument("--allow-mixed", action="store_true", help="put different code or protocols into one table")

    data = command("data", _late("data:data"), "draw SynthFaces, check a dataset, pack it")
    data.formatter_class = argparse.RawDescriptionHelpFormatter
    data.epilog = _DATA
    data.add_argument("action", choices=["make", "check", "pack"])
    data.add_argument("overrides", nargs="*", metavar="key=value", help="as for train, e.g. data=synthfaces")
    data.add_argument("--config-dir", metavar="DIR", help="folder with further YAML files for the groups")

    track = command("track", _late("store:track"), "rebuild the MLflow store from the runs' plain files")
    track.add_argument("action", choices=["sync"])
    track.add_argument("--outputs", default="outputs", metavar="DIR")

    listed = command("list", _late("show:list_"), "show everything that can be swapped or set, or all about one axis")
    listed.add_argument("words", nargs="*", metavar="[AXIS] [key=value]", help="an axis, e.g. discriminator; overrides")
    listed.add_argument("--format", choices=["text", "md"], default="text", help="md is the page docs/components.md")
    listed.add_argument("--config-dir", metavar="DIR", help="folder with further YAML files for the groups")
    listed.epilog = _LIST_EXAMPLES
    listed.formatter_class = argparse.RawDescriptionHelpFormatter

    doctor = command("doctor", _late("show:doctor"), "say what this machine has for a configuration and what is next")
    doctor.add_argument("overrides", nargs="*", metavar="key=value", help="as for train, e.g. preset=quickstart")
    doctor.add_argument("--json", action="store_true", help="the same as JSON")
    doctor.add_argument("--config-dir", metavar="DIR", help="folder with further YAML files for the groups")
    doctor.epilog = _DOCTOR_HELP
    doctor.formatter_class = argparse.RawDescriptionHelpFormatter

    completion = command("completion", _late("show:completion"), "print what lets the shell complete commands and keys")
    completion.add_argument("shell", choices=["bash"])
    completion.epilog = _COMPLETION_HELP
    completion.formatter_class = argparse.RawDescriptionHelpFormatter

    _add_exchange(command)

    ui = command("ui", _late("store:ui"), "MLflow's pages on 127.0.0.1, at the right one")
    ui.add_argument("name", nargs="?", metavar="NAME", help="of a hypothesis; none shows every run")
    ui.add_argument("--outputs", default="outputs", metavar="DIR")
    ui.add_argument("--port", type=int, default=5000)
    for parser_of_store in (track, ui):
        parser_of_store.add_argument("--uri", help="of the MLflow store (default: sqlite in the outputs)")
        parser_of_store.add_argument("--experiment", default="stargan-lab", help="of MLflow (default: stargan-lab)")
    return parser


_TO_HELP = (
    "outputs apart by commas, in each labels apart by +: Blond_Hair,Male+Young; Male=0 asks for without; a name that"
    " several datasets have is written dataset.name"
)


def _add_exchange(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Networks out, and one's own pictures through them."""
    export = command(
        "export", _late("exchange:export"), "write a run's networks as the reference's checkpoints, or as ONNX"
    )
    translate = command("translate", _late("exchange:translate"), "translate one's own pictures")
    for added in (export, translate):
        added.add_argument(
            "what", metavar="RUN_OR_CHECKPOINT", help="a run's id, its beginning, folder or last.pt; or 200000-G.ckpt"
        )
    translate.add_argument("images", nargs="+", metavar="IMAGE", help="files and folders")
    export.add_argument("--format", choices=["reference", "onnx"], default="reference", help="(default: reference)")
    export.add_argument("--to", metavar="FILE_OR_FOLDER", help="(default: exports/NAME under the outputs)")
    translate.add_argument("--to", required=True, metavar="LABELS", help=_TO_HELP)
    translate.add_argument(
        "--from",
        dest="own",
        metavar="LABELS",
        help="labels the pictures have now, apart by commas, others 0 (default: as the run's judge sees each)",
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
        added.add_argument("--outputs", default="outputs", metavar="DIR", help="where the runs are (default: outputs)")


def _train(parsed: argparse.Namespace) -> int:
    raise AssertionError("train goes to Hydra before this parser is asked")


def _late(place: str) -> Callable[[argparse.Namespace], int]:
    """A command's function by ``module:function``, imported when it is called."""
    module, _, name = place.partition(":")

    def handler(parsed: argparse.Namespace) -> int:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        return int(getattr(import_module(f"stargan_lab.commands.{module}"), name)(parsed))

    return handler


if __name__ == "__main__":
    sys.exit(main())
