"""``stargan-lab ui``."""

import argparse
import subprocess
import sys
from pathlib import Path

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command
from stargan_lab.cli.track import add_store


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "ui", "serve the MLflow UI on 127.0.0.1, optionally filtered to one ablation", run)
    name = parser.add_argument("name", nargs="?", metavar="NAME", help="ablation (default: all runs)")
    complete.attach(name, complete.ablations)
    parser.add_argument("--port", type=int, default=5000, metavar="N", help="port (default: 5000)")
    add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the MLflow UI until Ctrl-C."""
    from stargan_lab.ablation.spec import load
    from stargan_lab.console import say
    from stargan_lab.errors import LabError
    from stargan_lab.tracking.run_folder import run_folders
    from stargan_lab.tracking.store import Store
    from stargan_lab.tracking.ui import ui_command, ui_url

    outputs = Path(args.outputs)
    if not (outputs / "runs").is_dir():
        raise LabError(f"{outputs / 'runs'}: no runs yet; try `stargan-lab train preset=quickstart`")
    name = None if args.name is None else load(args.name).name
    store = Store.open(outputs, args.uri, args.experiment)
    logged = {name: metric for folder in run_folders(outputs) for name, metric in folder.descriptions().items()}
    say(f"open {ui_url(store, name, args.port, logged)}   (Ctrl-C to stop)")
    try:
        return subprocess.run(ui_command(store.uri, args.port), stdout=sys.stderr).returncode
    except KeyboardInterrupt:
        return 0
