"""One training step: a discriminator update, and a generator update when due. Nothing here waits for the device."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch
from stargan_lab.losses.objective import LossValues, Objective
from stargan_lab.losses.step import Discriminate, Step, Translate
from stargan_lab.seeding import generator_for
from stargan_lab.training.ema import Ema


@dataclass(frozen=True)
class StepRandomness:
    """The random numbers of one step, on the CPU.

    Attributes:
        permutation: (N,) int64, an order of the batch; the ``permuted`` policy takes target labels in this order.
        alpha: (samples, N, 1, 1, 1) in [0, 1), positions of the Lipschitz penalty's interpolates.
        choice: (N,) in [0, 1), picks a target for each image in other policies.
    """

    permutation: Tensor
    alpha: Tensor
    choice: Tensor


def step_randomness(seed: int, step: int, batch_size: int, samples: int) -> StepRandomness:
    """The random numbers of a step, a pure function of the arguments."""
    generator = generator_for(seed, "step", step)
    permutation = torch.randperm(batch_size, generator=generator)
    alpha = torch.rand(samples, batch_size, 1, 1, 1, generator=generator)
    # from a separate stream, so that the size of alpha does not change the targets
    choice = torch.rand(batch_size, generator=generator_for(seed, "choice", step))
    return StepRandomness(permutation, alpha, choice)


def parameter_dtype(precision: str) -> torch.dtype:
    """Data type of parameters and images; ``bfloat16`` applies to forward passes only."""
    return torch.float64 if precision == "float64" else torch.float32


@dataclass
class TrainState:
    """Everything that changes during training.

    Attributes:
        compile: run plain forward passes through ``torch.compile``. Passes that are differentiated twice stay eager,
            since compiled graphs refuse double backward. State dicts come from the eager networks.
        step: discriminator updates so far.
        seconds: training time so far, over all processes.
    """

    generator: nn.Module
    critic: nn.Module
    g_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer
    ema: Ema
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "float32"
    compile: bool = False
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.translate: Translate = torch.compile(self.generator) if self.compile else self.generator
        self.discriminate: Discriminate = torch.compile(self.critic) if self.compile else self.critic

    def mixed(self) -> AbstractContextManager[object]:
        """Autocast for forward passes with ``bfloat16``."""
        if self.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def dtype(self) -> torch.dtype:
        """Data type of parameters and images."""
        return parameter_dtype(self.precision)


def train_step(
    train_state: TrainState, objective: Objective, batch: Batch, randomness: StepRandomness, update_generator: bool
) -> LossValues:
    """Update the discriminator, then the generator if due; returns the unweighted loss terms, on the device.

    The reference translates the batch once for each update. The generator does not change in between, so one
    translation gives equal numbers; it carries a graph when the generator's update is due.
    """
    with train_state.mixed(), torch.set_grad_enabled(update_generator):
        step = translated(train_state, objective, batch, randomness)
    with train_state.mixed():
        detached = replace(step, fake=step.fake.detach().to(train_state.dtype))
        total, values = objective.total("discriminator", detached)
    _update(train_state.d_optimizer, total)
    objective.lipschitz.project(train_state.critic)
    for module in train_state.critic.modules():  # all passes until the next update use this estimate
        if update_sigma := getattr(module, "update_sigma", None):
            update_sigma()
    if update_generator:
        train_state.critic.requires_grad_(False)  # saves gradients that no optimizer would use
        with train_state.mixed():
            total, generator_values = objective.total("generator", step)
        _update(train_state.g_optimizer, total)
        train_state.critic.requires_grad_(True)
        train_state.ema.update(train_state.generator)
        values |= generator_values
    return {name: value.detach() for name, value in values.items()}


def translated(train_state: TrainState, objective: Objective, batch: Batch, randomness: StepRandomness) -> Step:
    """A batch with its targets and its translation, on the device; the translation has a graph if grad mode is on."""
    device, dtype, layout = train_state.device, train_state.dtype, objective.layout
    batch = batch.to(device, dtype)
    permutation, choice = randomness.permutation.to(device), randomness.choice.to(device)
    targets = objective.targets(batch.labels, layout.specs[batch.source], permutation, choice)
    return Step(
        layout=layout,
        adversarial=objective.adversarial,
        lipschitz=objective.lipschitz,
        real=batch.images,
        labels=batch.labels,
        source=batch.source,
        fake=train_state.translate(batch.images, layout.generator_label(targets, batch.source)),
        targets=targets,
        alpha=randomness.alpha.to(device, dtype),
        generator=train_state.generator,
        discriminator=train_state.critic,
        translate=train_state.translate,
        discriminate=train_state.discriminate,
    )


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
