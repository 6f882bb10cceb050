"""``stargan-lab track``."""

import argparse
from pathlib import Path

from stargan_lab.cli.arguments import Commands, add_command, add_outputs


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "track", "rebuild the MLflow store from the run directories", run)
    parser.add_argument("action", choices=["sync"], help="write every run to the store")
    add_store(parser)


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", help="MLflow tracking URI (default: MLFLOW_TRACKING_URI, or OUTPUTS/mlflow.db)")
    parser.add_argument(
        "--experiment", default="stargan-lab", metavar="NAME", help="MLflow experiment (default: stargan-lab)"
    )
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Write every run to the MLflow store; 1 if a run's files are damaged."""
    from stargan_lab.console import say
    from stargan_lab.errors import ConfigError, counted, nearest
    from stargan_lab.tracking.reports import publish_reports
    from stargan_lab.tracking.store import Store
    from stargan_lab.tracking.sync import sync
    from stargan_lab.tracking.uri import masked

    outputs = Path(args.outputs)
    if not (outputs / "runs").is_dir():
        siblings = [path.parent.name for path in outputs.absolute().parent.glob("*/runs")]
        raise ConfigError(f"--outputs: {outputs} has no runs/{nearest(outputs.name, siblings)}")
    store = Store.open(outputs, args.uri, args.experiment)
    result = sync(outputs, store)
    publish_reports(store, outputs)
    written, active = counted(len(result.written), "run"), counted(len(result.training), "active run")
    print(f"wrote {written} to {masked(store.uri)}, skipped {active}")
    for line in result.damaged:
        say(f"damaged: {line}")
    return 1 if result.damaged else 0
