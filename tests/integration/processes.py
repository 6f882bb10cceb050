"""Runs commands in fresh processes and reads the files they write."""

import fcntl
import json
import os
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

SCRIPT = Path(sys.executable).with_name("stargan-lab")
TIMEOUT = 300.0

NO_MLFLOW = "tracking.enabled=false"
"""For tests that do not need MLflow: opening a new store takes longer than a tiny run."""

RATES = """\
claim: A lower rate helps.
base: [preset=tiny]
baseline: usual
variants: {usual: [optimizer.d_lr=0.0001], low: [optimizer.d_lr=0.00001]}
seeds: [0]
primary: eval/leak
"""
"""An ablation of two runs, for experiments/rates.yaml."""

MEASURED = ("speed/", "memory/")
"""Prefixes of metrics that measure the machine and differ between equal runs."""


@dataclass(frozen=True)
class Outcome:
    """Result of a command."""

    code: int
    out: str
    err: str
    seconds: float

    def lines(self) -> list[str]:
        """The lines of stderr."""
        return self.err.splitlines()


class Lab:
    """A working directory; every command runs there in a fresh process.

    Args:
        command: how to start ``stargan-lab`` (default: the installed script).
        environment: variables added to those of the test process.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (str(SCRIPT),),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.outputs = folder / "outputs"
        self._command = tuple(command)
        hidden = ("PYTHONPATH", "HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI")
        self._environment = {key: value for key, value in os.environ.items() if key not in hidden} | {
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",  # equal numbers with and without a GPU
            "TORCH_HOME": str(folder / "no-torch-home"),  # no cached Inception weights
            **(environment or {}),
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command in its own process group."""
        return subprocess.Popen(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_in_terminal(self, *arguments: str) -> "tuple[subprocess.Popen[bytes], int]":
        """Start a command in a terminal; returns the other end of it, which closes the terminal when it is closed."""
        other_end, terminal = os.openpty()
        process = subprocess.Popen(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        os.set_blocking(other_end, False)
        return process, other_end

    def __call__(self, *arguments: str) -> Outcome:
        return finish(self.start(*arguments))

    def write(self, name: str, text: str) -> Path:
        """Write a user file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def files(self) -> set[str]:
        """All paths in the directory except compiled Python."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {path.as_posix() for path in paths if "__pycache__" not in path.parts}

    def run_ids(self) -> set[str]:
        return {path.name for path in (self.outputs / "runs").glob("*")}

    def run(self, run_id: str | None = None) -> Path:
        """A run's directory; without an id, that of the only run."""
        if run_id is None:
            (run_id,) = self.run_ids()
        return self.outputs / "runs" / run_id

    def result(self, run_id: str | None = None) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.run(run_id) / "result.json").read_text())
        return result

    def rows(self, run_id: str | None = None) -> list[tuple[int, dict[str, float]]]:
        """The lines of metrics.jsonl as (step, metrics), without timings."""
        lines = [json.loads(line) for line in (self.run(run_id) / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], computed(line["metrics"])) for line in lines]

    def mlflow(self) -> "Recorded":
        return Recorded(self.outputs)


class Recorded:
    """The MLflow store of an outputs directory."""

    def __init__(self, outputs: Path) -> None:
        self.client = MlflowClient(tracking_uri=f"sqlite:///{outputs / 'mlflow.db'}")

    def runs(self) -> dict[str, Run]:
        """Active trained runs by run id, which must be unique."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        found = self.client.search_runs(experiments, run_view_type=ViewType.ACTIVE_ONLY)
        active = [run for run in found if "report" not in run.data.tags]
        runs = {run.data.tags["run_id"]: run for run in active}
        assert len(runs) == len(active), "duplicate run id"
        return runs

    def history(self, run: Run) -> dict[str, list[tuple[int, float]]]:
        """(step, value) of every deterministic metric, by step."""
        names = computed(run.data.metrics)
        points = {name: self.client.get_metric_history(run.info.run_id, name) for name in names}
        return {name: sorted((point.step, point.value) for point in series) for name, series in points.items()}


def computed(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are equal in every run of one configuration."""
    return {name: value for name, value in metrics.items() if not name.startswith(MEASURED)}


def finish(process: "subprocess.Popen[str]") -> Outcome:
    """Wait for a command; kill it after a timeout."""
    began = time.perf_counter()
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Outcome(process.returncode, out, err, time.perf_counter() - began)


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    """Return once ``path`` exists; fail if the process ends first."""
    deadline = time.monotonic() + TIMEOUT
    while not path.exists():
        if process.poll() is not None:
            raise AssertionError(f"the process ended without writing {path.name}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, f"timed out waiting for {path.name}"
        time.sleep(0.002)
