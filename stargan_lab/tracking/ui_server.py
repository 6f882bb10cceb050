"""The server of the MLflow UI: MLflow's own application, with a run's scores before its losses.

MLflow's compare page opens on the first metric of a run in logging order, which is a loss. Only the order of the
metrics in a response is changed. It ends with the command that has started it.
"""

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Sequence
from typing import Any

from flask import Response, request
from mlflow.server import app as _flask_app
from mlflow.server.fastapi_app import app

from stargan_lab.tracking.ui import FIRST

__all__ = ["app"]

STOP_SECONDS = 10.0
"""How long the server's processes may take to end by themselves."""


@_flask_app.after_request
def scores_first(response: Response) -> Response:
    if request.path.endswith(("/mlflow/runs/get", "/mlflow/runs/search")) and response.status_code == 200:
        answer = json.loads(response.get_data())
        for run in answer.get("runs", [answer["run"]] if "run" in answer else []):
            _sort_metrics(run, json.loads(os.environ.get(FIRST, "[]")))
        response.set_data(json.dumps(answer))
    return response


def _sort_metrics(run: dict[str, Any], first: Sequence[str]) -> None:
    """Move the metrics named in ``first`` to the front, in that order; the others keep theirs."""
    place = {name: index for index, name in enumerate(first)}
    run["data"].get("metrics", []).sort(key=lambda metric: place.get(metric["key"], len(place)))


def _end_with_the_command() -> None:
    """Wait for the end of ``stargan-lab ui``, also by SIGKILL: the kernel then closes its side of the pipe."""
    os.read(0, 1)
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(os.getpgrp(), number)
        time.sleep(STOP_SECONDS)


if FIRST in os.environ and stat.S_ISFIFO(os.fstat(0).st_mode):
    threading.Thread(target=_end_with_the_command, daemon=True).start()
