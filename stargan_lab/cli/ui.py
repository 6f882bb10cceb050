"""``stargan-lab ui``."""

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command
from stargan_lab.cli.track import add_store
from stargan_lab.errors import stop_signals

if TYPE_CHECKING:
    from stargan_lab.tracking.store import Store
    from stargan_lab.tracking.views import View

EPILOG = """\
Shows all runs with their scores and the settings that differ, or the runs of an ablation, grouped by variant.

examples:
  stargan-lab ui
  stargan-lab ui quickstart
  stargan-lab ui --multirun latest"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "ui", "serve the MLflow UI on 127.0.0.1, with scores first", run, EPILOG)
    name = parser.add_argument("name", nargs="?", metavar="NAME", help="ablation (default: all runs)")
    complete.attach(name, complete.ablations)
    parser.add_argument(
        "--multirun",
        metavar="latest|DIR",
        help="show the runs of a train -m: the latest, or that in Hydra's sweep directory",
    )
    parser.add_argument("--port", type=int, default=5000, metavar="N", help="port (default: 5000)")
    add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the MLflow UI until one of ``stop_signals``."""
    from stargan_lab.console import say
    from stargan_lab.errors import ConfigError, LabError
    from stargan_lab.tracking.reports import publish_reports, sort_runs
    from stargan_lab.tracking.run_folder import run_folders
    from stargan_lab.tracking.store import Store
    from stargan_lab.tracking.sync import publish_missing
    from stargan_lab.tracking.ui import ui_command, ui_environment
    from stargan_lab.tracking.views import compare_url

    outputs = Path(args.outputs)
    if args.name and args.multirun:
        raise ConfigError("name an ablation or use --multirun, not both")
    _check_free(args.port)
    if not (outputs / "runs").is_dir():
        raise LabError(f"{outputs / 'runs'}: no runs yet; try `stargan-lab train preset=quickstart`")
    view, run_ids, variants = view_of(args, outputs)
    store = Store.open(outputs, args.uri, args.experiment)
    publish_missing(store, run_folders(outputs))
    view.save(store)
    reported = publish_reports(store, outputs)
    if view.ablation and view.ablation not in reported:
        sort_runs(store, view.ablation, variants)
    say(f"open {view.url(store, args.port)}   (Ctrl-C to stop)")
    if view.ablation and (compared := _mlflow_ids(store, run_ids)):
        say(f"compare {compare_url(store, compared, args.port)}")
    return _serve(ui_command(args.port), ui_environment(store.uri, view.scores))


def _serve(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the server until it ends or one of ``stop_signals`` arrives; its processes end with this one, see
    ``tracking.ui_server``.
    """
    for number in stop_signals():
        signal.signal(number, signal.default_int_handler)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=sys.stderr, env=environment, start_new_session=True
    ) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


def _check_free(port: int) -> None:
    """Raises ConfigError if the port does not exist, or another process listens on it."""
    from stargan_lab.errors import ConfigError

    if not 1 <= port <= 65535:
        raise ConfigError(f"--port {port}: must be 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if 1024 <= port < 65535 else 5000  # lower ones are the system's
            raise ConfigError(f"--port {port}: {error.strerror}; try --port {other}") from None


def view_of(args: argparse.Namespace, outputs: Path) -> "tuple[View, Sequence[str], Sequence[str]]":
    """What the UI shows first, the ids of these runs, and their variants in order."""
    from stargan_lab.ablation.spec import load
    from stargan_lab.cli.multirun import multirun_directory, read_multirun, runs_of
    from stargan_lab.errors import LabError
    from stargan_lab.report.from_runs import ablation_of
    from stargan_lab.report.mlflow_view import view_of_runs
    from stargan_lab.report.query import load_runs, main_score

    if args.name:
        ablation = load(args.name)
        runs = load_runs(outputs)
        runs = runs[runs[key].notna()] if (key := f"ablation.{ablation.name}") in runs else runs[:0]
    elif args.multirun:
        multirun = read_multirun(multirun_directory(args.multirun, outputs))
        runs = runs_of(multirun, outputs)
        try:
            primary = main_score(runs)
        except LabError:  # none is evaluated yet
            primary = ""
        ablation, _ = ablation_of(runs, multirun.by, multirun.name, primary)
    else:
        ablation, runs = None, load_runs(outputs)
    return view_of_runs(runs, ablation), list(runs["run_id"]), ablation.ordered() if ablation else []


def _mlflow_ids(store: "Store", run_ids: Sequence[str]) -> list[str]:
    """The MLflow runs of these runs, oldest first."""
    wanted = set(run_ids)
    return [
        run.info.run_id for run in reversed(store.search("tags.run_id LIKE '%'")) if run.data.tags["run_id"] in wanted
    ]
