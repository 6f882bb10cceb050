"""Cost of diagnostics: ``python benchmarks/diagnostics.py [preset=quickstart …] [--pairs N]``.

Alternates between a block of training steps and one measurement, on random images, and prints how much longer training
takes with ``diagnostics.every=100``. CPU time is measured, on one thread, so that other processes hardly matter.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from stargan_lab.config import compose
from stargan_lab.labels import Batch
from stargan_lab.runs.build import build_layout, build_loop_plan, build_objective, build_sources, build_train_state
from stargan_lab.seeding import cpu_threads
from stargan_lab.training.diagnostics import diagnose
from stargan_lab.training.updates import step_randomness, train_step

EVERY = 100


def measure(overrides: list[str], pairs: int) -> tuple[list[float], list[float]]:
    """CPU seconds of one step, averaged over the steps of a generator update, and of one measurement; per pair."""
    config = compose([*overrides, "trainer.device=cpu"])
    layout = build_layout(build_sources(config))
    state, objective = build_train_state(config, layout), build_objective(config, layout)
    plan = build_loop_plan(config)
    random = torch.Generator().manual_seed(0)
    size, spec = config.data.image_size, layout.specs[0]
    images = torch.rand(config.batch_size, 3, size, size, generator=random) * 2 - 1
    batch = Batch(images, torch.randint(2, (len(images), len(spec.names)), generator=random).float(), 0)

    def steps() -> None:
        for step in range(1, plan.n_critic + 1):
            randomness = step_randomness(0, step, len(images), objective.lipschitz.samples)
            train_step(state, objective, batch, randomness, step == plan.n_critic)

    def seconds(action: Callable[[], object]) -> float:
        began = time.process_time()
        action()
        return time.process_time() - began

    with cpu_threads(1):
        steps(), diagnose(state, objective, batch, 0)  # warm-up
        measured = [
            (seconds(steps) / plan.n_critic, seconds(lambda: diagnose(state, objective, batch, 0)))
            for _ in range(pairs)
        ]
    of_step, of_diagnosis = zip(*measured, strict=True)
    return list(of_step), list(of_diagnosis)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="default: preset=quickstart")
    parser.add_argument("--pairs", type=int, default=15)
    args = parser.parse_args()
    of_step, of_diagnosis = measure(args.overrides or ["preset=quickstart"], args.pairs)
    ratios = [diagnosis / step for step, diagnosis in zip(of_step, of_diagnosis, strict=True)]
    print(f"step {statistics.median(of_step):.4f} s, measurement {statistics.median(of_diagnosis):.4f} s of CPU time")
    print(f"a measurement takes as long as {statistics.median(ratios):.1f} steps")
    print(f"training with one every {EVERY} steps takes {statistics.median(ratios) / EVERY:.1%} longer")


if __name__ == "__main__":
    main()
