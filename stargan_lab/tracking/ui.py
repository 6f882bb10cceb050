"""The command that serves the MLflow UI."""

import json
import os
import sys
from collections.abc import Mapping, Sequence

APP = "stargan-lab"
"""Name of ``ui_server.app`` among MLflow's applications (setup.cfg)."""

FIRST = "STARGAN_LAB_FIRST_METRICS"
"""Environment variable of the server: JSON list of the metrics that come first."""


def ui_command(uri: str, port: int = 5000) -> list[str]:
    """The command that serves the MLflow UI of the store at ``uri`` on localhost."""
    options = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", "--app-name", APP, *options]


def ui_environment(first: Sequence[str]) -> Mapping[str, str]:
    """Environment of that command; MLflow's compare page opens on the first of these metrics that a run has."""
    return {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", FIRST: json.dumps(list(first))}
