"""CPU time of a report of many runs, figures included: ``python benchmarks/report.py [--runs 1000] [--template RUN]``.

The runs are copies of one finished run with other scores and losses. Each repetition is a fresh process. Prints one
line of JSON with the median. Exits with 1 if the median for 1,000 runs is over the limit.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from stargan_lab.ablation.spec import Ablation, load
from stargan_lab.cli.report import cells_file
from stargan_lab.files import read_json, write_json, write_text
from stargan_lab.tracking.run_folder import RunFolder

COPIED = ("config.yaml", "descriptions.json", "labels.json", "tags.json")
LIMIT = 5.0
"""Seconds of CPU time for 1,000 runs; more or fewer runs have no limit."""
SPREAD = 0.05
"""Standard deviation of the factor on scores and losses."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stargan_lab", *arguments]


def trained(outputs: Path) -> RunFolder:
    """A run of the tiny preset."""
    subprocess.run(
        command("train", "preset=tiny", "quiet=true", "tracking.enabled=false", f"paths.outputs={outputs}"),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (run,) = (outputs / "runs").iterdir()
    return RunFolder(run)


def copy(template: RunFolder, folder: RunFolder, rows: int, random: np.random.Generator) -> None:
    """A run like the template with ``rows`` logged rows."""
    shutil.copytree(template.samples, folder.samples)
    for name in COPIED:
        if (template.path / name).exists():
            shutil.copy(template.path / name, folder.path / name)
    result = read_json(template.result_path)
    result["run_id"] = folder.run_id
    result["metrics"] = scaled(result["metrics"], random)
    folder.write_result(result)
    for path in template.scores.glob("*.json"):
        write_json(folder.scores / path.name, read_json(path) | {"metrics": result["metrics"]})
    logged = [row for row in template.rows() if any(name.startswith("loss/") for name in row.metrics)]
    chosen = [logged[index * len(logged) // rows] for index in range(rows)]
    lines = [
        json.dumps({"step": 100 * (step + 1), "time": row.time, "metrics": scaled(row.metrics, random)})
        for step, row in enumerate(chosen)
    ]
    write_text(folder.metrics_path, "".join(f"{line}\n" for line in lines))


def scaled(values: dict[str, float], random: np.random.Generator) -> dict[str, float]:
    return dict(zip(values, random.normal(1, SPREAD, len(values)) * list(values.values()), strict=True))


def write_runs(outputs: Path, ablation: Ablation, runs: int, rows: int, template: RunFolder) -> None:
    """Copies of the template as the runs of an ablation's last sweep."""
    random, variants = np.random.default_rng(0), list(ablation.variants)
    pairs = list(product(range(-(-runs // len(variants))), variants))[:runs]
    cells = [(variant, seed, f"{index:012x}") for index, (seed, variant) in enumerate(pairs)]
    for _, _, run_id in cells:
        copy(template, RunFolder(outputs / "runs" / run_id), rows, random)
    write_json(cells_file(outputs, ablation), cells)


def cpu_seconds(arguments: Sequence[str]) -> float:
    """User and system time of a process."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, errors
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=20, help="logged rows per run")
    parser.add_argument("--ablation", default="discriminator_norm")
    parser.add_argument("--template", type=Path, metavar="RUN", help="folder of a finished run (default: train one)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--outputs", type=Path, help="keep the runs here, or use those of an earlier call")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        outputs = args.outputs or Path(temporary) / "outputs"
        ablation = load(args.ablation)
        if not cells_file(outputs, ablation).exists():
            template = RunFolder(args.template) if args.template else trained(Path(temporary) / "template")
            write_runs(outputs, ablation, args.runs, args.rows, template)
        report = command("report", args.ablation, "--outputs", str(outputs))
        seconds = [cpu_seconds(report) for _ in range(args.repeats)]
    about = {key: getattr(args, key) for key in ("ablation", "runs", "rows")} | {"limit": LIMIT}
    print(json.dumps({**about, "cpu_seconds": round(median(seconds), 2), "lowest": round(min(seconds), 2)}))
    return int(args.runs == 1000 and median(seconds) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
