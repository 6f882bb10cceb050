"""The network that ``export`` and ``translate`` take on the command line: a run or a checkpoint."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli.arguments import imports_of

if TYPE_CHECKING:
    from stargan_lab.runs.loaded_model import LoadedModel


def open_network(args: argparse.Namespace) -> "LoadedModel":
    """Load the run or checkpoint named on the command line, and print notes about it to stderr."""
    from stargan_lab.console import say
    from stargan_lab.errors import UnnamedModules
    from stargan_lab.runs.load import load_model

    attributes, classes = (
        [name.strip() for name in text.split(",")] if text else [] for text in (args.attributes, args.classes)
    )
    try:
        opened = load_model(args.network, Path(args.outputs), args.ema, attributes, classes, imports_of(args))
    except UnnamedModules as error:
        raise error.as_flag() from None
    for note in opened.notes:
        say(f"note: {note}")
    return opened


def title(opened: "LoadedModel") -> str:
    step = "" if opened.step is None else f" at step {opened.step:,}"
    return f"{opened.name}{step}, {'EMA weights' if opened.averaged else 'raw weights'}"
