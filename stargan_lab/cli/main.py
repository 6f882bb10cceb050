"""Build the command-line parser, run a command, and map errors to exit codes."""

import argparse
import errno
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from stargan_lab import __version__
from stargan_lab.cli import (
    complete,
    data,
    doctor,
    evaluate,
    export,
    fid,
    inspect,
    report,
    runs,
    sweep,
    toy,
    track,
    translate,
    ui,
)
from stargan_lab.cli import list as list_
from stargan_lab.cli.arguments import Commands, add_command, add_overrides
from stargan_lab.console import is_alone, is_first_process, say
from stargan_lab.errors import (
    ConfigError,
    DataError,
    LabError,
    ReportedElsewhere,
    Stopped,
    ignore_second_hangup,
    nearest,
    printable,
    stop_signals,
)

_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

DESCRIPTION = """\
Swap any component of StarGAN, train each variant with several seeds, and see which changes help.

  stargan-lab train preset=quickstart    one run: a few minutes on two cores, on generated data
  stargan-lab sweep quickstart           an ablation: three discriminator norms, three seeds, and a report
  stargan-lab ui quickstart              its runs in MLflow

All files are written to outputs/ in the current directory."""

EPILOG = """\
Tab completion in bash (add the line to ~/.bashrc to make it permanent):
  eval "$(register-python-argcomplete stargan-lab)\""""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 success, 1 failure, 2 invalid input, 129 SIGHUP, 130 Ctrl-C,
    143 SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Threads that spin while waiting make a step ten times slower as soon as another process needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        with _signals_raise():
            return _dispatch(arguments)
    except LabError as error:
        if isinstance(error, ConfigError) and not is_first_process():
            _wait_for_end()
        elif not isinstance(error, ReportedElsewhere):
            print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError | DataError) else 1
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None and error.errno not in _OF_A_DISK:
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        print(f"error: {printable(f'{place}{error.strerror}')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        saved = type(interrupt) not in (KeyboardInterrupt, Stopped)  # a run that saved has already said so
        if not saved:
            say("interrupted")
        return interrupt.exit_code if isinstance(interrupt, Stopped) else 130


def _wait_for_end() -> None:
    """Several processes have been started with one command line. The first one prints what is wrong with it; if
    another one ends earlier, the launcher stops the first one.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(30)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let every one of ``stop_signals`` end a command as Ctrl-C does; training has its own handler.

    Afterwards one of several processes ignores SIGTERM: once one has ended, the others get it, also while they report
    why.
    """
    if threading.current_thread() is not threading.main_thread():  # signal handlers exist there only
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        ignore_second_hangup(number)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in stop_signals() if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not is_alone():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["train"]:  # Hydra parses its own command line
        from stargan_lab.cli.train import train

        return train(arguments[1:])
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        complete.print_completions(parser)
    args, extra = parser.parse_known_args(arguments)
    flags = [word for word in extra if word.startswith("-")]
    if flags:
        known = [flag for action in args.parser._actions for flag in action.option_strings]
        args.parser.error(f"unknown flag {flags[0]!r}{nearest(flags[0].partition('=')[0], known)}")
    if extra and args.variadic is None:
        args.parser.error(f"unexpected argument {extra[0]!r}")
    if extra:
        setattr(args, args.variadic, [*getattr(args, args.variadic), *extra])
    return int(args.run(args))


class _Parser(argparse.ArgumentParser):
    """argparse with one-line errors that name the nearest valid choice."""

    def error(self, message: str) -> NoReturn:
        choice = re.match(r"argument (\S+): invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice:
            argument, value, choices = choice.groups()
            allowed = choices.replace("'", "").split(", ")
            subject = "unknown command" if argument == "COMMAND" else f"{argument}: unknown choice"
            message = f"{subject} {value!r}{nearest(value, allowed) or ';'} allowed: {', '.join(allowed)}"
        raise ConfigError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "stargan-lab", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"stargan-lab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(commands)
    for module in (sweep, report, runs, evaluate, fid, translate, export, inspect, toy, data, list_, doctor, ui, track):
        module.add_parser(commands)
    return parser


def _add_train(commands: Commands) -> None:
    """For ``--help`` and completion only; ``train`` is parsed by Hydra."""
    parser = add_command(commands, "train", "train one run; a Hydra app with its own --help", run=lambda args: 0)
    add_overrides(parser, "Hydra overrides")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("--info", choices=["all", "config", "defaults", "plugins", "searchpath"])
    for flag in ("--hydra-help", "--resolve"):
        parser.add_argument(flag, action="store_true")
