"""One training step: a critic update, and when it is due a generator update. Nothing here waits for the device."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch
from stargan_lab.losses.objective import LossTerms, Objective
from stargan_lab.seeding import generator_for
from stargan_lab.training.ema import Ema

PRECISIONS: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class StepRandomness:
    """The random numbers of one step, on the CPU.

    Attributes:
        permutation: (N,) int64, an order of the batch, in which target labels are its own (reference).
        alpha: (samples, N, 1, 1, 1) in [0, 1), where the penalty's interpolates lie.
        choice: (N,) in [0, 1), which target an image gets under other policies.
    """

    permutation: Tensor
    alpha: Tensor
    choice: Tensor


def step_randomness(seed: int, step: int, batch_size: int, samples: int) -> StepRandomness:
    """Draws as a pure function of (seed, step)."""
    generator = generator_for(seed, "step", step)
    permutation = torch.randperm(batch_size, generator=generator)
    alpha = torch.rand(samples, batch_size, 1, 1, 1, generator=generator)
    # a stream of its own: how much the constraint draws must not move the targets
    choice = torch.rand(batch_size, generator=generator_for(seed, "choice", step))
    return StepRandomness(permutation, alpha, choice)


@dataclass
class TrainState:
    """Networks under training with everything that changes while they train.

    Attributes:
        compile: run the generator and the critic's plain passes through ``torch.compile``. The penalty's pass stays
            eager, since compiled graphs refuse double backward. State always comes from the networks themselves.
        step: updates of the critic so far.
        seconds: spent so far, over all stretches.
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
        self.translate: Callable[..., Tensor] = torch.compile(self.generator) if self.compile else self.generator
        self.discriminate: Callable[..., tuple[Tensor, Tensor]] = (
            torch.compile(self.critic) if self.compile else self.critic
        )

    def mixed(self) -> AbstractContextManager[object]:
        """Autocast under bfloat16; parameters and updates stay float32."""
        if self.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def dtype(self) -> torch.dtype:
        """Of parameters and images."""
        return torch.float64 if self.precision == "float64" else torch.float32


def train_step(
    train_state: TrainState, objective: Objective, batch: Batch, randomness: StepRandomness, update_generator: bool
) -> LossTerms:
    """Update the critic, then the generator if due; returns the unweighted loss terms, on the device.

    The reference translates the batch once for each update; the generator's weights are the same in both, so one
    translation, with its graph when the generator's update is due, gives equal numbers.
    """
    batch = batch.to(train_state.device, train_state.dtype)
    spec, order, choice = objective.layout.specs[batch.source], randomness.permutation, randomness.choice
    targets = objective.targets(batch.labels, spec, order.to(train_state.device), choice.to(train_state.device))
    alpha = randomness.alpha.to(train_state.device, train_state.dtype)
    asked = objective.layout.generator_label(targets, batch.source)
    with train_state.mixed():
        with torch.set_grad_enabled(update_generator):
            fake = train_state.translate(batch.images, asked)
        total, parts = objective.critic(
            train_state.discriminate, batch, fake.to(train_state.dtype), alpha, eager=train_state.critic
        )
    _descend(train_state.d_optimizer, total)
    objective.lipschitz.project(train_state.critic)
    for (
        module
    ) in train_state.critic.modules():  # estimates of the new weights, one for all passes until the next update
        update_sigma: Callable[[], None] | None = getattr(module, "update_sigma", None)
        if update_sigma is not None:
            update_sigma()
    if update_generator:
        train_state.critic.requires_grad_(False)  # its gradients would be thrown away
        with train_state.mixed():
            total, more = objective.generator(train_state.translate, train_state.discriminate, batch, fake, targets)
        _descend(train_state.g_optimizer, total)
        train_state.critic.requires_grad_(True)
        train_state.ema.update(train_state.generator)
        parts |= more
    return {name: part.detach() for name, part in parts.items()}


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
