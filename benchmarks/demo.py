"""``make demo`` of this checkout against that of another: ``python benchmarks/demo.py PATH [--rounds 2]``.

``PATH`` is a checkout of an earlier revision with its own ``.venv``. A demo is the command of the checkout's Makefile
with new outputs, so drawing the data, training the attribute classifier, scoring, MLflow and the report are timed,
building the environment is not. Each side is first in turn. Prints the seconds of each demo, then one line of JSON with
the medians, and the median and quartiles of the ratio within a round.
"""

import argparse
import json
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from spread import machine, quartiles

HERE = Path(__file__).resolve().parents[1]


def demo(checkout: Path) -> float:
    """The wall time of a checkout's demo, in seconds."""
    make = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], cwd=checkout, stdout=subprocess.PIPE, check=True
    )
    command = shlex.split(make.stdout.decode().splitlines()[-1])
    with tempfile.TemporaryDirectory() as outputs:
        start = time.perf_counter()
        done = subprocess.run([*command, f"paths.outputs={outputs}"], cwd=checkout, capture_output=True, check=False)
        seconds = time.perf_counter() - start
        assert done.returncode == 0, done.stderr.decode()
        assert list(Path(outputs).rglob("*.html")), "no report"
    return seconds


def revision(checkout: Path) -> str:
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(describe, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("against", type=Path, metavar="PATH")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    rounds = []
    for number in range(args.rounds):
        order = [args.against, HERE] if number % 2 == 0 else [HERE, args.against]
        seconds = {checkout: demo(checkout) for checkout in order}
        rounds.append((seconds[args.against], seconds[HERE]))
        print(f"round {number + 1}: {rounds[-1][0]:.1f} s before, {rounds[-1][1]:.1f} s now", flush=True)
    before, now = zip(*rounds, strict=True)
    ratios = [ours / theirs for theirs, ours in rounds]
    summary = {
        "revisions": {"before": revision(args.against), "now": revision(HERE)},
        "rounds": args.rounds,
        **machine(),
        "seconds": {"before": round(median(before), 1), "now": round(median(now), 1)},
        "ratio": round(median(ratios), 2),
        "quartiles": quartiles(ratios, 2),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
