"""Speed of the training step compared with the reference's procedure: ``python benchmarks/step.py [--pairs 15]``.

The reference translates a batch once for each network's update, and its generator update computes the discriminator's
gradients too. Both steps run alternately from the same weights on the same batches and give the same numbers. Prints
the median of the paired time ratios for each n_critic.
"""

import argparse
import time
from dataclasses import replace
from statistics import median

import torch

from stargan_lab.config import compose
from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.losses.objective import Objective
from stargan_lab.runs.build import build_objective, build_train_state
from stargan_lab.training.updates import StepRandomness, TrainState, step_randomness, train_step, translated


def reference_step(
    train_state: TrainState, objective: Objective, batch: Batch, randomness: StepRandomness, update_generator: bool
) -> None:
    """The reference's procedure, with this project's loss terms."""
    step = translated(train_state, objective, batch, randomness)
    total, _ = objective.total("discriminator", replace(step, fake=step.fake.detach()))
    update(train_state, train_state.d_optimizer, total)
    if update_generator:
        total, _ = objective.total("generator", translated(train_state, objective, batch, randomness))
        update(train_state, train_state.g_optimizer, total)


def update(train_state: TrainState, optimizer: torch.optim.Optimizer, total: torch.Tensor) -> None:
    train_state.g_optimizer.zero_grad()
    train_state.d_optimizer.zero_grad()
    total.backward()
    optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = compose(["preset=quickstart", "trainer.device=cpu"])
    layout = LabelLayout((LabelSpec("faces", tuple("abcdef")),))
    objective = build_objective(config, layout)
    images = torch.rand(config.batch_size, 3, config.data.image_size, config.data.image_size) * 2 - 1
    batch = Batch(images, torch.eye(6)[torch.arange(config.batch_size) % 6], 0)
    for n_critic in (1, 2, 5):
        times: dict[str, list[float]] = {"ours": [], "reference": []}
        train_states = {name: build_train_state(config, layout) for name in times}
        for pair in range(arguments.pairs + 1):
            for name, step in (("ours", train_step), ("reference", reference_step)):
                start = time.perf_counter()
                for i in range(n_critic):
                    randomness = step_randomness(0, pair * n_critic + i, config.batch_size, 1)
                    step(train_states[name], objective, batch, randomness, i == n_critic - 1)
                times[name].append((time.perf_counter() - start) / n_critic)
        ratios = [b / a for a, b in zip(times["ours"][1:], times["reference"][1:], strict=True)]
        ours, theirs = (median(times[name][1:]) * 1000 for name in ("ours", "reference"))
        same = all(
            torch.equal(a, b)
            for a, b in zip(
                train_states["ours"].generator.state_dict().values(),
                train_states["reference"].generator.state_dict().values(),
                strict=True,
            )
        )
        gain = f"{theirs:.1f} ms -> {ours:.1f} ms per step, {median(ratios):.2f}x faster"
        print(f"n_critic {n_critic}: {gain}; equal weights: {same}")


if __name__ == "__main__":
    main()
