"""Time and memory of a sweep's plan, ledger and report at 10,000 runs: ``python benchmarks/scale.py``.

The ablation is a grid of 400 variants with 25 seeds. The run folders are those of its cells; each is a copy of one real
run with the cell's configuration and other scores and losses. Every command is a new process. Exits with 1 if a
command is over its limit of time or memory. With fewer runs the limits shrink in proportion, down to those of a start.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from report import COPIED, command, scaled, trained

from stargan_lab.ablation.plan import Cell, plan
from stargan_lab.ablation.spec import load
from stargan_lab.files import read_json
from stargan_lab.tracking.run_folder import RunFolder

LIMITS = {"plan": 20.0, "status": 20.0, "report": 60.0}
"""Seconds for ``FULL`` cells."""
MEMORY = 2 * 2**30
FULL = 10_000
START_SECONDS, START_MEMORY = 15.0, 2**30
"""Limits for no cells: a command's imports and, for a report, its figures."""
NAME = "scale"


def ablation_text(variants: int, seeds: int) -> str:
    """A grid of two norms, two losses, ten weights and as many learning rates as needed."""
    rates = [f"r{index}: [optimizer.g_lr={1e-5 * (index + 1):.6f}]" for index in range(-(-variants // 40))]
    weights = [f"w{index}: [weights.rec={index + 1}]" for index in range(10)]
    return f"""\
claim: None.
base: [preset=tiny, trainer.device=cpu, tracking.enabled=false]
baseline: {{norm: none, loss: wgan, weight: w0, rate: r0}}
grid:
  norm: {{none: [discriminator.norm=none], instance: [discriminator.norm=instance]}}
  loss: {{wgan: [adversarial=wgan], lsgan: [adversarial=lsgan]}}
  weight: {{{", ".join(weights)}}}
  rate: {{{", ".join(rates)}}}
seeds: {list(range(seeds))}
primary: eval/edit
"""


def write_runs(cells: Sequence[Cell], outputs: Path, template: RunFolder) -> None:
    """The folders of finished runs, as the template's."""
    random, result = np.random.default_rng(0), read_json(template.result_path)
    scores = [(path.name, read_json(path)) for path in template.scores.glob("*.json")]
    rows, copied = template.rows(), {name: (template.path / name).read_bytes() for name in COPIED[1:]}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for cell in cells:
        folder = RunFolder(outputs / "runs" / cell.run_id)
        folder.scores.mkdir(parents=True)
        metrics = scaled(result["metrics"], random)
        folder.config_path.write_text(yaml.dump(cell.config.flat(), Dumper=dumper, sort_keys=False))
        folder.result_path.write_text(json.dumps(result | {"run_id": cell.run_id, "metrics": metrics}))
        for name, score in scores:
            (folder.scores / name).write_text(json.dumps(score | {"metrics": metrics}))
        for name, content in copied.items():
            (folder.path / name).write_bytes(content)
        lines = (json.dumps(row._asdict() | {"metrics": scaled(row.metrics, random)}) for row in rows)
        folder.metrics_path.write_text("".join(f"{line}\n" for line in lines))


def measured(arguments: Sequence[str], folder: Path) -> tuple[float, float, int]:
    """Wall time, CPU time in seconds and peak memory in bytes of a process; its exit code must be 0."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        errors.seek(0)
        assert status == 0, errors.read()[-2000:]
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def limit(start: float, full: float, cells: int) -> float:
    """The limit for a number of cells; ``full`` for ``FULL`` of them."""
    return start + (full - start) * cells / FULL


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=int, default=400, help="a multiple of 40, at least 80")
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--only", choices=LIMITS, nargs="*", default=list(LIMITS))
    parser.add_argument("--cpu", action="store_true", help="limit CPU time, not wall time; for a busy machine")
    args = parser.parse_args()
    count = args.variants * args.seeds
    commands = {
        "plan": command("sweep", NAME, "--dry-run"),
        "status": command("sweep", NAME, "--status"),
        "report": command("report", NAME),
    }
    over = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "experiments").mkdir()
        (folder / "experiments" / f"{NAME}.yaml").write_text(ablation_text(args.variants, args.seeds))
        os.chdir(folder)
        if set(args.only) & {"status", "report"}:
            write_runs(plan(load(NAME)), Path("outputs"), trained(folder / "template"))
        for name in args.only:
            wall, cpu, memory = measured(commands[name], folder)
            allowed, most = limit(START_SECONDS, LIMITS[name], count), limit(START_MEMORY, MEMORY, count)
            over |= (cpu if args.cpu else wall) > allowed or memory > most
            record = {"command": name, "cells": count, "seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}
            record |= {"limit": round(allowed, 1), "peak_mib": memory // 2**20, "limit_mib": int(most) // 2**20}
            print(json.dumps(record), flush=True)
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
