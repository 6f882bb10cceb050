"""What the training step saves over the reference's order of work: ``python benchmarks/step.py [--pairs 15]``.

The reference translates a batch once for the critic and again for the generator, and lets the generator's step fill the
critic's gradients. Both orders are run in turn, from the same start on the same batches, and give the same numbers; the
median of the ratios of the pairs is printed, per n_critic.
"""

import argparse
import time
from statistics import median

import torch

from stargan_lab.config import compose
from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.losses.objective import Objective
from stargan_lab.runs.build import build_objective, build_trainee
from stargan_lab.training.updates import Draws, Trainee, draw, train_step


def reference_step(trainee: Trainee, objective: Objective, batch: Batch, draws: Draws, update_generator: bool) -> None:
    """The reference's order of work, with this project's terms."""
    targets = batch.labels[draws.permutation]
    asked = objective.layout.generator_label(targets, batch.source)
    total, _ = objective.critic(trainee.critic, batch, trainee.generator(batch.images, asked), draws.alpha)
    descend(trainee, trainee.d_optimizer, total)
    if update_generator:
        fake = trainee.generator(batch.images, asked)
        total, _ = objective.generator(trainee.generator, trainee.critic, batch, fake, targets)
        descend(trainee, trainee.g_optimizer, total)


def descend(trainee: Trainee, optimizer: torch.optim.Optimizer, total: torch.Tensor) -> None:
    trainee.g_optimizer.zero_grad()
    trainee.d_optimizer.zero_grad()
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
        trainees = {name: build_trainee(config, layout) for name in times}
        for pair in range(arguments.pairs + 1):
            for name, step in (("ours", train_step), ("reference", reference_step)):
                began = time.perf_counter()
                for i in range(n_critic):
                    draws = draw(0, pair * n_critic + i, config.batch_size, 1)
                    step(trainees[name], objective, batch, draws, i == n_critic - 1)
                times[name].append((time.perf_counter() - began) / n_critic)
        ratios = [b / a for a, b in zip(times["ours"][1:], times["reference"][1:], strict=True)]
        ours, theirs = (median(times[name][1:]) * 1000 for name in ("ours", "reference"))
        same = all(
            torch.equal(a, b)
            for a, b in zip(
                trainees["ours"].generator.state_dict().values(),
                trainees["reference"].generator.state_dict().values(),
                strict=True,
            )
        )
        gain = f"{theirs:.1f} ms -> {ours:.1f} ms a step, {median(ratios):.2f}x faster"
        print(f"n_critic {n_critic}: {gain}; equal weights: {same}")


if __name__ == "__main__":
    main()
