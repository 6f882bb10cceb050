"""Start-up and checkpoints of runs of ``preset=quickstart``: ``python benchmarks/overhead.py``.

With a warm store and caches, from the start of a process to the end of its first training step:

- train: ``stargan-lab train``, which imports everything;
- cell: one run of ``stargan-lab train -m``, whose process is forked from a server that has imported everything;
- imports: a bare process that imports torch, torch._dynamo, which torch's optimizers import, and MLflow's store. It is
  the floor of ``train``.

Then a checkpoint is written alternately with a bare file of the same size, also flushed to disk. The last line of the
output is JSON: medians of the CPU time and wall time of each in seconds, with quartiles.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from spread import machine, quartiles

from stargan_lab.checkpoints.train_state import save
from stargan_lab.config import compose
from stargan_lab.labels import Batch
from stargan_lab.runs.build import build_layout, build_objective, build_sources, build_train_state
from stargan_lab.training.meter import Meter
from stargan_lab.training.updates import step_randomness, train_step

Seconds = dict[str, float]
PROBE = '''
import json, os, time
from stargan_lab.runs.trainer import Trainer

def since_the_process_started():
    """A fork counts as a start."""
    ticks = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19])
    return float(open("/proc/uptime").read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")

def stepped(self, step):
    with open(os.environ["FIRST_STEPS"], "a") as file:
        file.write(json.dumps({"cpu": time.process_time(), "wall": since_the_process_started()}) + "\\n")
    os._exit(0)

Trainer.stepped = stepped
'''
IMPORTS = "import time, torch, torch._dynamo, mlflow.store.tracking.sqlalchemy_store; print(time.process_time())"


class Starts:
    """Runs commands that end with their first training step."""

    def __init__(self, folder: Path) -> None:
        self.times, self.outputs = folder / "first_steps", folder / "outputs"
        (folder / "first_step_probe.py").write_text(PROBE)
        self.environment = {**os.environ, "PYTHONPATH": str(folder), "FIRST_STEPS": str(self.times)}
        self.environment["MLFLOW_DISABLE_TELEMETRY"] = "true"

    def train(self, *words: str) -> list[Seconds]:
        """The times of the first steps."""
        self.times.unlink(missing_ok=True)
        self._run("imports=[first_step_probe]", *words)  # a run that the probe ends counts as failed with -m
        return [json.loads(line) for line in self.times.read_text().splitlines()]

    def warm_up(self) -> None:
        """Create the store and all caches."""
        self._run("total_steps=2").check_returncode()

    def imports(self) -> Seconds:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS], env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return {"cpu": float(done.stdout), "wall": time.perf_counter() - start}

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "stargan_lab", "train", "preset=quickstart", "quiet=true"]
        command += [f"paths.outputs={self.outputs}", *words]
        return subprocess.run(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def starts(folder: Path, rounds: int) -> dict[str, list[Seconds]]:
    runs = Starts(folder)
    found: dict[str, list[Seconds]] = {"train": [], "cell": [], "imports": []}
    runs.warm_up()
    for seed in range(1, rounds + 1):
        found["train"] += runs.train(f"seed={seed}")
        found["imports"].append(runs.imports())
        found["cell"] += runs.train("-m", f"seed={seed}")
        print({name: each[-1] for name, each in found.items()}, flush=True)
    return found


def timed(action: Callable[[], object]) -> Seconds:
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def checkpoints(folder: Path, rounds: int) -> tuple[dict[str, list[Seconds]], int]:
    """Times of writing checkpoints and bare files, and the size in bytes."""
    config = compose(["preset=quickstart", f"paths.outputs={folder / 'outputs'}"])
    layout = build_layout(build_sources(config))
    state, objective, meter = build_train_state(config, layout), build_objective(config, layout), Meter()
    size, count = config.data.image_size, config.batch_size
    batch = Batch(torch.zeros(count, 3, size, size), torch.zeros(count, len(layout.specs[0].names)), 0)
    meter.add(1, train_step(state, objective, batch, step_randomness(0, 1, count, 1), True))
    path, bare = folder / "checkpoint.pt", folder / "bare"
    save(path, state, meter, "0" * 12)
    content = path.read_bytes()

    def write() -> None:
        with bare.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    found: dict[str, list[Seconds]] = {"checkpoint": [], "bare_file": []}
    for _ in range(rounds):
        found["checkpoint"].append(timed(lambda: save(path, state, meter, "0" * 12)))
        found["bare_file"].append(timed(write))
    return found, len(content)


def summary(times: list[Seconds]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for clock in ("cpu", "wall"):
        values = [each[clock] for each in times]
        result |= {clock: round(median(values), 4), f"{clock}_quartiles": quartiles(values, 4)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of the start-up (default: 5)")
    parser.add_argument("--checkpoints", type=int, default=20, help="rounds of the checkpoints (default: 20)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = starts(Path(temporary), arguments.rounds)
        written, size = checkpoints(Path(temporary), arguments.checkpoints)
    ratio = median(a["cpu"] / b["cpu"] for a, b in zip(found["train"], found["imports"], strict=True))
    result = {name: summary(times) for name, times in (found | written).items()}
    print(
        json.dumps(
            {**machine(), **result, "train_over_imports": round(ratio, 3), "checkpoint_mib": round(size / 2**20, 2)}
        )
    )


if __name__ == "__main__":
    main()
