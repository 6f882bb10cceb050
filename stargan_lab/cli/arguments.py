"""Arguments that several commands share."""

import argparse
from collections.abc import Callable
from typing import Any

from stargan_lab.cli import complete

Commands = Any
"""What ``ArgumentParser.add_subparsers`` returns; argparse has no public name for it."""

OF_RUN = "a run's own components; they are code, so they are never imported without this"


def add_command(
    commands: Commands, name: str, summary: str, run: Callable[[argparse.Namespace], int], epilog: str = ""
) -> argparse.ArgumentParser:
    """Add the parser of one command; ``run`` returns its exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser, variadic=None)
    return parser


def add_variadic(parser: argparse.ArgumentParser, dest: str, **options: Any) -> argparse.Action:
    """Add a positional argument that takes any number of words, both before and after flags."""
    parser.set_defaults(variadic=dest)
    if options.get("nargs") == "*":
        options = {"default": []} | options  # without one, argparse calls the argument required
    return parser.add_argument(dest, **options)


def add_overrides(parser: argparse.ArgumentParser, help: str) -> None:
    """Add Hydra overrides and ``--config-dir``."""
    action = add_variadic(parser, "overrides", nargs="*", metavar="key=value", help=help)
    complete.attach(action, complete.overrides)
    add_config_dir(parser)


def add_config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config-dir", metavar="DIR", help="directory with your own YAML files for the config groups")


def add_outputs(parser: argparse.ArgumentParser, what: str = "directory of the runs") -> None:
    parser.add_argument("--outputs", default="outputs", help=f"{what} (default: outputs)")


def add_imports(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--imports``; see ``imports_of``."""
    parser.add_argument("--imports", metavar="MODULE,…", help=f"modules that register {what}")


def imports_of(args: argparse.Namespace) -> list[str]:
    """The modules that ``--imports`` names."""
    return [name.strip() for name in args.imports.split(",")] if args.imports else []


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select a run or checkpoint and how to load its networks."""
    action = parser.add_argument(
        "network",
        metavar="RUN_OR_CHECKPOINT",
        help="run id (a prefix is enough), run directory, last.pt, or a reference checkpoint such as 200000-G.ckpt",
    )
    complete.attach(action, complete.run_ids)
    parser.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        help="use the generator's EMA weights (default: use them if available)",
    )
    parser.add_argument("--attributes", metavar="A,B,…", help="CelebA labels of a reference checkpoint, in order")
    parser.add_argument("--classes", metavar="A,B,…", help="RaFD classes of a reference checkpoint, in order")
    add_imports(parser, OF_RUN)
    add_outputs(parser)
