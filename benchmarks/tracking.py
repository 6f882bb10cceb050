"""Cost of ledger, checkpoints and tracking as a share of a training: ``python benchmarks/tracking.py [OVERRIDE …]``.

Trains ``preset=quickstart`` at 32 px on one CPU thread, with MLflow on SQLite. Blocks of one checkpoint interval
alternate in one training: in a recorded block, losses, speed and memory are logged at the preset's interval; it ends
with a check of the lease, the rows made durable, a checkpoint and the delivery to MLflow. A bare block has none of it.
The order within a pair changes from pair to pair; the first pair is not counted. Nothing is evaluated and no samples
are drawn. The last line of the output is JSON:

    cpu, wall        medians per block in seconds, and by how much a recorded block exceeds the bare one of its pair, as
                     a share of the bare one: median and quartiles over pairs
    hooks            CPU and wall time spent in logging and checkpoints over that of the bare block, measured within the
                     recorded blocks: median and quartiles; less noisy than the difference of two blocks. The wall time
                     includes waiting for fsync and SQLite
    first, next      CPU and wall seconds to open and to close the record of a run: of the first one of a process, which
                     imports MLflow and creates the database, and of another one, as in a sweep
    lease            CPU and wall milliseconds per renewal of the lease, which is every 15 s
    share            hooks, lease and ``next`` as a share of a bare training of the preset's length: CPU and wall time
    limit            of the CPU share; the exit code is 1 above it

On a busy machine the wall times also contain the time of other programs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from spread import machine, quartiles

from stargan_lab.config import RunConfig, compose, initial_hashes, run_id
from stargan_lab.evaluation import attribute_classifier
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.lease import RENEW_SECONDS, Lease
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.tracker import Tracker

LIMIT = 0.03
"""Of the share of the CPU time."""


class Clock(NamedTuple):
    """CPU time of the process and wall time, in seconds."""

    cpu: float
    wall: float

    def since(self, start: "Clock") -> "Clock":
        return Clock(self.cpu - start.cpu, self.wall - start.wall)


def now() -> Clock:
    return Clock(time.process_time(), time.perf_counter())


class Alternating(Trainer):
    """Records in every other block only.

    Attributes:
        blocks: whether it is recorded, and the time of each block.
        hooks: time in logging and checkpoints of each block.
    """

    def begin(self) -> None:
        self.blocks: list[tuple[bool, Clock]] = []
        self.hooks: list[Clock] = []
        self._began, self._spent = now(), Clock(0, 0)

    @property
    def recorded(self) -> bool:
        pair, second = divmod(len(self.blocks), 2)
        return (pair + second) % 2 == 0

    @contextmanager
    def _counted(self) -> Iterator[None]:
        before = now()
        yield
        spent = now().since(before)
        self._spent = Clock(self._spent.cpu + spent.cpu, self._spent.wall + spent.wall)

    def log(self, step: int, values: dict[str, float]) -> None:
        if self.recorded:
            with self._counted():
                super().log(step, values)

    def checkpoint(self, step: int) -> None:
        if self.recorded:
            with self._counted():
                super().checkpoint(step)
        self.blocks.append((self.recorded, now().since(self._began)))
        self.hooks.append(self._spent)
        self._began, self._spent = now(), Clock(0, 0)

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
        seconds[name] = now().since(before)
        return result

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, method)


def lease_seconds(folder: Path, renewals: int = 200) -> Clock:
    """Time of one renewal."""
    lease = Lease(folder / ".lease")
    with lease.held():
        before = now()
        for _ in range(renewals):
            lease.renew()
        spent = now().since(before)
        return Clock(spent.cpu / renewals, spent.wall / renewals)


def spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": round(median(values), 5), "quartiles": quartiles(values, 5)}


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


def main() -> int:
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
    recorded, bare = ([next(t for is_kind, t in pair if is_kind is kind) for pair in pairs] for kind in (True, False))
    hooks, share = {}, {}
    for clock in Clock._fields:
        of = attrgetter(clock)
        spent = [sum(map(of, trainer.hooks[i : i + 2])) for i in range(2, len(trainer.blocks), 2)]
        parts = [part / of(block) for part, block in zip(spent, bare, strict=True)]
        training = median(map(of, bare)) / interval * length
        hooks[clock] = spread(parts)
        share[clock] = median(parts) + of(renewal) / RENEW_SECONDS + sum(map(of, following.values())) / training
    result = {
        "steps": interval,
        "pairs": len(pairs),
        "log_every": trainer.config.trainer.log_every,
        "cpu": excess([block.cpu for block in recorded], [block.cpu for block in bare]),
        "wall": excess([block.wall for block in recorded], [block.wall for block in bare]),
        "hooks": hooks,
        "first": {name: [round(part, 3) for part in seconds] for name, seconds in first.items()},
        "next": {name: [round(part, 3) for part in seconds] for name, seconds in following.items()},
        "lease": [round(part * 1000, 3) for part in renewal],
        "share": {clock: round(part, 5) for clock, part in share.items()},
        "limit": LIMIT,
        **machine(),
    }
    print(json.dumps(result))
    return int(share["cpu"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
