"""Variants per hour of a sweep: one run after another against as many at a time as fit.

``python benchmarks/sweep.py [--steps 100] [--seeds 2] [--rounds 3] [--against hydra.launcher.n_jobs=8] [OVERRIDE …]``

Each sweep is a fresh command with its own outputs. Data and attribute classifier are made beforehand and copied, so
they are not timed; starting the processes, evaluation and the report are. A round is one sweep of each kind, first one
and then the other one first. Prints the seconds of each sweep, then one line of JSON: medians, the median and quartiles
of the ratio within a round, and as the floor the seconds of one after another, divided by the cores.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from spread import machine, quartiles

from stargan_lab.ablation.spec import load
from stargan_lab.tracking.run_folder import RunFolder

ONE_BY_ONE = "hydra/launcher=basic"


def sweep(outputs: Path, overrides: Sequence[str]) -> float:
    """The wall time of a sweep, in seconds."""
    command = [sys.executable, "-m", "stargan_lab", "sweep", *overrides, "quiet=true", f"paths.outputs={outputs}"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - start


def timed(prepared: Path, overrides: Sequence[str]) -> tuple[float, dict[str, str]]:
    """The wall time of a sweep without earlier runs, and the digest of every run's networks and optimizers."""
    with tempfile.TemporaryDirectory() as temporary:
        outputs = Path(temporary) / "outputs"
        for part in ("data", "cache"):
            shutil.copytree(prepared / part, outputs / part)
        seconds = sweep(outputs, overrides)
        results = {path.name: RunFolder(path).result() or {} for path in (outputs / "runs").iterdir()}
    return seconds, {run_id: result["state_sha256"] for run_id, result in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="for every run")
    parser.add_argument("--ablation", default="quickstart")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", nargs="*", default=[], metavar="OVERRIDE", help="launcher (default: the sweep's)")
    args = parser.parse_args()
    seeds = f"seed={','.join(map(str, range(args.seeds)))}"
    common = [args.ablation, f"total_steps={args.steps}", seeds, "tracking.enabled=false", *args.overrides]
    rounds = []
    with tempfile.TemporaryDirectory() as temporary:
        sweep(Path(temporary), [*common, ONE_BY_ONE])
        for number in range(args.rounds):
            kinds = {"one": [*common, ONE_BY_ONE], "several": [*common, *args.against]}
            order = sorted(kinds, reverse=number % 2 == 1)  # each kind is first in turn
            done = {kind: timed(Path(temporary), kinds[kind]) for kind in order}
            (one, expected), (several, states) = done["one"], done["several"]
            assert states == expected, "the runs differ"
            rounds.append((one, several))
            print(f"round {number + 1}: {one:.1f} s one after another, {several:.1f} s several at a time", flush=True)
    ones, severals = zip(*rounds, strict=True)
    cores = len(os.sched_getaffinity(0))
    ratios, variants = [one / several for one, several in rounds], len(load(args.ablation).variants)
    summary = {
        "ablation": args.ablation,
        "variants": variants,
        "seeds": args.seeds,
        "steps": args.steps,
        "rounds": args.rounds,
        **machine(),
        "seconds": {"one": round(median(ones), 1), "several": round(median(severals), 1)},
        "variants_per_hour": {
            "one": round(variants * 3600 / median(ones)),
            "several": round(variants * 3600 / median(severals)),
        },
        "ratio": round(median(ratios), 2),
        "quartiles": quartiles(ratios, 2),
        "floor_seconds": round(median(ones) / cores, 1),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
