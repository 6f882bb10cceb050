"""``track`` and ``ui``: the MLflow store and its pages."""

import argparse
import subprocess
import sys
from pathlib import Path

from stargan_lab.ablation.spec import load
from stargan_lab.console import say
from stargan_lab.errors import LabError
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.sync import descriptions, sync
from stargan_lab.tracking.ui import ui_command, ui_url


def track(parsed: argparse.Namespace) -> int:
    """Bring the MLflow store to what the plain files say."""
    outputs = Path(parsed.outputs)
    store = Store.open(outputs, parsed.uri, parsed.experiment)
    done = sync(outputs, store)
    print(f"{len(done.written)} runs written to {store.uri}, {len(done.training)} in training left alone")
    for line in done.damaged:
        say(f"damaged: {line}")
    return 1 if done.damaged else 0


def ui(parsed: argparse.Namespace) -> int:
    """Serve MLflow's pages on 127.0.0.1 until Ctrl-C."""
    outputs = Path(parsed.outputs)
    if not (outputs / "runs").is_dir():
        raise LabError(f"{outputs / 'runs'}: no runs yet; try `stargan-lab train preset=quickstart`")
    if parsed.name is not None:
        load(parsed.name)
    store = Store.open(outputs, parsed.uri, parsed.experiment)
    say(f"open {ui_url(store, parsed.name, parsed.port, descriptions(outputs))}   (Ctrl-C ends it)")
    try:
        return subprocess.run(ui_command(store.uri, parsed.port), stdout=sys.stderr).returncode
    except KeyboardInterrupt:
        return 0
