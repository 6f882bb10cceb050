"""The training loop, and everything that happens every n steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stargan_lab.errors import Interrupted
from stargan_lab.labels import Batch
from stargan_lab.losses.objective import Objective
from stargan_lab.training.graphs import GraphedStep
from stargan_lab.training.meter import Meter
from stargan_lab.training.optimizers import set_rate
from stargan_lab.training.updates import TrainState, step_randomness, train_step


@dataclass(frozen=True)
class LoopPlan:
    """Length and intervals of a training run. A step is one discriminator update on one dataset.

    Attributes:
        total_steps: discriminator updates.
        n_critic: the generator is updated in every n-th iteration.
        sources: number of datasets, S, trained on in turn; an iteration is S steps.
        seed: seed of all random numbers.
        schedule: maps (iteration, total iterations) to a factor on the initial learning rates.
        log_every, sample_every, evaluate_every, checkpoint_every: in steps; 0 means only at the end.
        diagnose_every: in steps; None means never.
    """

    total_steps: int
    n_critic: int
    sources: int
    seed: int
    schedule: Callable[[int, int], float]
    log_every: int
    sample_every: int
    evaluate_every: int
    checkpoint_every: int
    diagnose_every: int | None = None

    def iteration(self, step: int) -> int:
        """Iteration of a step, counted from 1; each takes one batch from every dataset."""
        return (step - 1) // self.sources + 1

    def steps_on(self, source: int) -> int:
        """Steps on dataset ``source``, counted from 0, in the whole run."""
        return len(range(source, self.total_steps, self.sources))

    @property
    def generator_updates(self) -> int:
        """Generator updates in the whole run; a dataset's n-th step is in iteration n."""
        return sum(self.steps_on(source) // self.n_critic for source in range(self.sources))

    def due(self, every: int, step: int) -> bool:
        return step == self.total_steps or (every > 0 and step % every == 0)


class Hooks(Protocol):
    """Callbacks of the loop, each called after a step."""

    def stepped(self, step: int) -> None: ...
    def log(self, step: int, values: dict[str, float]) -> None: ...
    def diagnose(self, step: int) -> None: ...
    def sample(self, step: int) -> None: ...
    def evaluate(self, step: int) -> None: ...
    def checkpoint(self, step: int) -> None: ...
    def stop_requested(self) -> int:
        """The number of the signal that asked to stop, or 0."""
        ...


def train(
    train_state: TrainState,
    objective: Objective,
    batches: Callable[[int], Batch],
    plan: LoopPlan,
    meter: Meter,
    hooks: Hooks,
) -> None:
    """Train from ``train_state.step`` to ``plan.total_steps``.

    Args:
        batches: maps a step to its batch, a pure function.
    Raises:
        Interrupted: after a checkpoint, when ``hooks.stop_requested()``.
        NonFiniteLossError: at the next log or checkpoint after a loss term stopped being finite.
    """
    groups = [group for o in (train_state.g_optimizer, train_state.d_optimizer) for group in o.param_groups]
    for group in groups:
        group.setdefault("initial_lr", float(group["lr"]))  # saved in checkpoints, so that a resume restores it
    update = GraphedStep() if train_state.records_steps else train_step
    total_iterations = plan.iteration(plan.total_steps)
    for step in range(train_state.step + 1, plan.total_steps + 1):
        iteration = plan.iteration(step)
        # the learning rate of this iteration
        factor = plan.schedule(iteration, total_iterations)
        for group in groups:
            set_rate(group, group["initial_lr"] * factor)
        # one discriminator update, and a generator update when due
        batch = batches(step)
        randomness = step_randomness(plan.seed, step, len(batch.labels), objective.lipschitz.samples)
        losses = update(train_state, objective, batch, randomness, iteration % plan.n_critic == 0)
        train_state.step = step
        meter.add(step, losses, objective.layout.specs[batch.source].dataset if plan.sources > 1 else None)
        # what is due at this step
        hooks.stepped(step)
        if plan.due(plan.log_every, step):
            hooks.log(step, meter.read() | {"lr/g": float(groups[0]["lr"]), "lr/d": float(groups[-1]["lr"])})
        if plan.diagnose_every is not None and plan.due(plan.diagnose_every, step):
            hooks.diagnose(step)
        if plan.due(plan.sample_every, step):
            hooks.sample(step)
        stop = hooks.stop_requested() if step < plan.total_steps else 0
        evaluate = plan.due(plan.evaluate_every, step) and not stop
        if stop or evaluate or plan.due(plan.checkpoint_every, step):
            hooks.checkpoint(step)
        if evaluate:  # after the checkpoint, so that a failure while scoring loses no training
            hooks.evaluate(step)
        if stop:
            raise Interrupted(step, stop)
