"""The command that serves the MLflow UI."""

import json
import os
import sys
from collections.abc import Mapping, Sequence

APP = "stargan-lab"
"""Name of ``ui_server.app`` among MLflow's applications (setup.cfg)."""

FIRST = "STARGAN_LAB_FIRST_METRICS"
"""Environment variable of the server: JSON list of the metrics that come first."""


def ui_command(port: int = 5000) -> list[str]:
    """The command that serves the MLflow UI on localhost, with the environment of ``ui_environment``."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", "--app-name", APP, *options]


def ui_environment(uri: str, first: Sequence[str]) -> Mapping[str, str]:
    """Environment of that command: the store, whose URI other users must not see among a process's arguments.

    MLflow's compare page opens on the first of the metrics in ``first`` that a run has.
    """
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_BACKEND_STORE_URI": uri, FIRST: json.dumps(list(first))}
    return {**os.environ, **settings}
