"""Cost of ledger, checkpoints and tracking as a share of a training: ``python benchmarks/tracking.py [OVERRIDE …]``.

Trains ``preset=quickstart`` at 32 px on one CPU thread, with MLflow on SQLite. Blocks of one checkpoint interval
alternate in one training: in a recorded block, losses, speed and memory are logged at the preset's interval; it ends
with a check of the lease, the rows made durable, a checkpoint and the delivery to MLflow. A bare block has none of it.
The order within a pair changes from pair to pair; the first pair is not counted. Nothing is evaluated and no samples
are drawn. The last line of the output is JSON:

    cpu, wall        medians per block in seconds, and by how much a recorded block exceeds the bare one of its pair, as
                     a share of the bare one: median and quartiles over pairs
    hooks            CPU time spent in logging and checkpoints over that of the bare block, measured within the recorded
                     blocks: median and quartiles; less noisy than the difference of two blocks
    first, next      CPU and wall seconds to open and to close the record of a run: of the first one of a process, which
                     imports MLflow and creates the database, and of another one, as in a sweep
    lease            CPU milliseconds per renewal of the lease, which is every 15 s
    share            hooks, lease and ``next`` as a share of the CPU time of a bare training of the preset's length
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from stargan_lab.config import RunConfig, compose, initial_hashes, run_id
from stargan_lab.evaluation import attribute_classifier
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.lease import RENEW_SECONDS, Lease
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.tracker import Tracker

Clock = tuple[float, float]
"""CPU time of the process, wall time."""


def now() -> Clock:
    return time.process_time(), time.perf_counter()


class Alternating(Trainer):
    """Records in every other block only.

    Attributes:
        blocks: whether it is recorded, and the CPU and wall time of each block.
        hooks: CPU time in logging and checkpoints of each block.
    """

    def begin(self) -> None:
        self.blocks: list[tuple[bool, float, float]] = []
        self.hooks: list[float] = []
        self._began, self._spent = now(), 0.0

    @property
    def recorded(self) -> bool:
        pair, second = divmod(len(self.blocks), 2)
        return (pair + second) % 2 == 0

    @contextmanager
    def _counted(self) -> Iterator[None]:
        before = time.process_time()
        yield
        self._spent += time.process_time() - before

    def log(self, step: int, values: dict[str, float]) -> None:
        if self.recorded:
            with self._counted():
                super().log(step, values)

    def checkpoint(self, step: int) -> None:
        if self.recorded:
            with self._counted():
                super().checkpoint(step)
        cpu, wall = now()
        self.blocks.append((self.recorded, cpu - self._began[0], wall - self._began[1]))
        self.hooks.append(self._spent)
        self._began, self._spent = now(), 0.0

    def sample(self, step: int) -> None:
        pass

    def evaluate(self, step: int) -> None:
        pass


@contextmanager
def timed(owner: type, name: str, seconds: dict[str, Clock]) -> Iterator[None]:
    """Record the CPU and wall time of a method's last call."""
    method: Callable[..., Any] = getattr(owner, name)

    def measured(*arguments: Any, **options: Any) -> Any:
        before = now()
        result = method(*arguments, **options)
        seconds[name] = tuple(after - start for after, start in zip(now(), before, strict=True))  # type: ignore[assignment]
        return result

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, method)


def lease_seconds(folder: Path, renewals: int = 200) -> float:
    """CPU time of one renewal."""
    lease = Lease(folder / ".lease")
    with lease.held():
        before = time.process_time()
        for _ in range(renewals):
            lease.renew()
        return (time.process_time() - before) / renewals


def spread(values: Sequence[float]) -> dict[str, Any]:
    quartiles = quantiles(values, n=4, method="inclusive")
    return {"median": round(median(values), 5), "quartiles": [round(quartiles[0], 5), round(quartiles[2], 5)]}


def excess(recorded: Sequence[float], bare: Sequence[float]) -> dict[str, Any]:
    ratios = [with_all / without - 1 for with_all, without in zip(recorded, bare, strict=True)]
    return {"recorded": round(median(recorded), 3), "bare": round(median(bare), 3), "excess": spread(ratios)}


def train(config: RunConfig, outputs: Path) -> tuple[Alternating, dict[str, Clock]]:
    # the classifier is not used
    attribute_classifier.RECIPE = replace(attribute_classifier.RECIPE, min_steps=1, max_steps=1)
    sources, hashes = build_sources(config), initial_hashes(config)
    folder = RunFolder(outputs / "runs" / run_id(config, [source.fingerprint for source in sources]))
    seconds: dict[str, Clock] = {}
    with folder.claim(), timed(Tracker, "start", seconds), timed(Tracker, "finish", seconds):
        trainer = Alternating(config, sources, folder, hashes)
        trainer.begin()
        trainer.run()
    return trainer, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="pairs of blocks that count, at least 2")
    parser.add_argument("overrides", nargs="*", help="of the configuration, for example trainer.log_every=10")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        outputs = Path(temporary)
        fixed = ["preset=quickstart", "quiet=true", "trainer.device=cpu", f"paths.outputs={outputs}", *args.overrides]
        interval, length = (config := compose(fixed)).trainer.checkpoint_every, config.total_steps
        steps = 2 * (args.pairs + 1) * interval
        trainer, first = train(compose([*fixed, f"total_steps={steps}"]), outputs)
        _, following = train(compose([*fixed, "total_steps=2", "seed=1"]), outputs)
        renewal = lease_seconds(outputs)
    pairs = [trainer.blocks[i : i + 2] for i in range(2, len(trainer.blocks), 2)]
    spent = [sum(trainer.hooks[i : i + 2]) for i in range(2, len(trainer.blocks), 2)]
    recorded, bare = ([next(b for b in pair if b[0] is kind) for pair in pairs] for kind in (True, False))
    hooks = [part / block[1] for part, block in zip(spent, bare, strict=True)]
    training = median(block[1] for block in bare) / interval * length
    share = median(hooks) + renewal / RENEW_SECONDS + sum(cpu for cpu, _ in following.values()) / training
    result = {
        "steps": interval,
        "pairs": len(pairs),
        "log_every": trainer.config.trainer.log_every,
        "cpu": excess([b[1] for b in recorded], [b[1] for b in bare]),
        "wall": excess([b[2] for b in recorded], [b[2] for b in bare]),
        "hooks": spread(hooks),
        "first": {name: [round(part, 3) for part in seconds] for name, seconds in first.items()},
        "next": {name: [round(part, 3) for part in seconds] for name, seconds in following.items()},
        "lease": round(renewal * 1000, 3),
        "share": round(share, 5),
        "machine": platform.processor() or platform.machine(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
