"""Commands in processes of their own, and what they leave on disk."""

import json
import os
import subprocess
import sys
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
"""Where it is not what is tested: opening a new store takes longer than a tiny run."""

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
"""Metrics of the machine, not of the training: no two runs agree in them."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    def lines(self) -> list[str]:
        """Of stderr."""
        return self.err.splitlines()


class Lab:
    """A folder to work in, as a person at a terminal would: every command starts there and is a fresh process.

    Args:
        command: what ``stargan-lab`` is; the installed script unless told.
        environment: variables beside those of the test process.
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
            "CUDA_VISIBLE_DEVICES": "",  # the same numbers with and without a GPU
            "TORCH_HOME": str(folder / "no-torch-home"),  # no Inception weights that happen to be cached
            **(environment or {}),
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> Outcome:
        return finish(self.start(*arguments))

    def write(self, name: str, text: str) -> Path:
        """A file of the user's."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def files(self) -> set[str]:
        """Everything below the folder but what Python compiled."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {path.as_posix() for path in paths if "__pycache__" not in path.parts}

    def run_ids(self) -> set[str]:
        return {path.name for path in (self.outputs / "runs").glob("*")}

    def run(self, run_id: str | None = None) -> Path:
        """A run's folder; without an id there must be one only."""
        if run_id is None:
            (run_id,) = self.run_ids()
        return self.outputs / "runs" / run_id

    def result(self, run_id: str | None = None) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.run(run_id) / "result.json").read_text())
        return result

    def rows(self, run_id: str | None = None) -> list[tuple[int, dict[str, float]]]:
        """The lines of metrics.jsonl as (step, metrics), without time and speed."""
        lines = [json.loads(line) for line in (self.run(run_id) / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], computed(line["metrics"])) for line in lines]

    def mlflow(self) -> "Recorded":
        return Recorded(self.outputs)


class Recorded:
    """What the MLflow store of an outputs folder holds."""

    def __init__(self, outputs: Path) -> None:
        self.client = MlflowClient(tracking_uri=f"sqlite:///{outputs / 'mlflow.db'}")

    def runs(self) -> dict[str, Run]:
        """By run id; no two runs may have the same."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        found = self.client.search_runs(experiments, run_view_type=ViewType.ACTIVE_ONLY)
        runs = {run.data.tags["run_id"]: run for run in found}
        assert len(runs) == len(found), "a run is there twice"
        return runs

    def history(self, run: Run) -> dict[str, list[tuple[int, float]]]:
        """Every point of every metric that is computed, as (step, value), in the order of steps."""
        names = computed(run.data.metrics)
        points = {name: self.client.get_metric_history(run.info.run_id, name) for name in names}
        return {name: sorted((point.step, point.value) for point in found) for name, found in points.items()}


def computed(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are the same in every run of one configuration."""
    return {name: value for name, value in metrics.items() if not name.startswith(MEASURED)}


def finish(process: "subprocess.Popen[str]") -> Outcome:
    """Wait for a command; it is killed when it takes too long."""
    began = time.perf_counter()
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Outcome(process.returncode, out, err, time.perf_counter() - began)


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    """Return as soon as ``path`` is there, while the process that writes it still runs."""
    deadline = time.monotonic() + TIMEOUT
    while not path.exists():
        if process.poll() is not None:
            raise AssertionError(f"ended before it wrote {path.name}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.002)
