"""Cost of tracking as a share of a training step: ``python benchmarks/tracking.py [--step-ms 25]``.

Losses, speed, memory and learning rates are logged every ``--log-every`` steps and committed every ``--commit-every``.
"""

import argparse
import tempfile
import time
from pathlib import Path

from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.tracker import Tracker

LOSSES = ("d_real", "d_fake", "d_cls", "d_gp", "g_fake", "g_rec", "g_cls")
VALUES = {f"loss/{name}": 0.123456789 for name in LOSSES}
VALUES |= {"speed/images_per_second": 640.0, "memory/peak_mib": 812.0, "lr/g": 1e-4, "lr/d": 1e-4}


def measure(outputs: Path, store: Store | None, steps: int, log_every: int, commit_every: int) -> tuple[float, float]:
    """Total seconds spent in log and in commit over ``steps`` steps."""
    name = "with" if store else "without"
    tracker = Tracker(
        RunFolder(outputs / "runs" / name),
        connect=(lambda: store) if store else None,
        params={},
        tags={},
        run_name=name,
    )
    tracker.start(0)
    logging = committing = 0.0
    for step in range(1, steps + 1):
        began = time.perf_counter()
        if step % log_every == 0:
            tracker.log(step, VALUES)
        logged = time.perf_counter()
        if step % commit_every == 0:
            tracker.commit(step)
        logging += logged - began
        committing += time.perf_counter() - logged
    return logging, committing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--step-ms", type=float, default=25.0, help="duration of a training step")
    parser.add_argument("--log-every", type=int, default=10)
    parser.add_argument("--commit-every", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        outputs = Path(temporary)
        print(
            f"{args.steps} steps, {len(VALUES)} metrics every {args.log_every}, commit every {args.commit_every} steps"
        )
        for title, store in (("plain files", None), ("and MLflow (SQLite)", Store.open(outputs))):
            logging, committing = measure(outputs, store, args.steps, args.log_every, args.commit_every)
            share = (logging + committing) / (args.steps * args.step_ms / 1000)
            calls, commits = args.steps // args.log_every, args.steps // args.commit_every
            print(
                f"{title:20s} log {logging / calls * 1e6:6.1f} µs per call,"
                f" commit {committing / commits * 1e3:7.1f} ms, total {share:.3%} of a {args.step_ms:g} ms step"
            )


if __name__ == "__main__":
    main()
