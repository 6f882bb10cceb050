"""One training step: a critic update, and when it is due a generator update. Nothing here waits for the device."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch
from stargan_lab.losses.objective import Objective, Parts
from stargan_lab.seeding import generator_for
from stargan_lab.training.ema import Ema

PRECISIONS: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step, on the CPU.

    Attributes:
        permutation: (N,) int64, an order of the batch, in which target labels are its own (reference).
        alpha: (samples, N, 1, 1, 1) in [0, 1), where the penalty's interpolates lie.
        choice: (N,) in [0, 1), which target an image gets under other policies.
    """

    permutation: Tensor
    alpha: Tensor
    choice: Tensor


def draw(seed: int, step: int, batch_size: int, samples: int) -> Draws:
    """Draws as a pure function of (seed, step)."""
    generator = generator_for(seed, "step", step)
    permutation = torch.randperm(batch_size, generator=generator)
    alpha = torch.rand(samples, batch_size, 1, 1, 1, generator=generator)
    # a stream of its own: how much the constraint draws must not move the targets
    choice = torch.rand(batch_size, generator=generator_for(seed, "choice", step))
    return Draws(permutation, alpha, choice)


@dataclass
class Trainee:
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
        self.judge: Callable[..., tuple[Tensor, Tensor]] = torch.compile(self.critic) if self.compile else self.critic

    def mixed(self) -> AbstractContextManager[object]:
        """Autocast under bfloat16; parameters and updates stay float32."""
        if self.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def dtype(self) -> torch.dtype:
        """Of parameters and images."""
        return torch.float64 if self.precision == "float64" else torch.float32


def train_step(trainee: Trainee, objective: Objective, batch: Batch, draws: Draws, update_generator: bool) -> Parts:
    """Update the critic, then the generator if due; returns the unweighted loss terms, on the device.

    The reference translates the batch once for each update; the generator's weights are the same in both, so one
    translation, with its graph when the generator's update is due, gives equal numbers.
    """
    batch = batch.to(trainee.device, trainee.dtype)
    spec, order, choice = objective.layout.specs[batch.source], draws.permutation, draws.choice
    targets = objective.targets(batch.labels, spec, order.to(trainee.device), choice.to(trainee.device))
    alpha = draws.alpha.to(trainee.device, trainee.dtype)
    asked = objective.layout.generator_label(targets, batch.source)
    with trainee.mixed():
        with torch.set_grad_enabled(update_generator):
            fake = trainee.translate(batch.images, asked)
        total, parts = objective.critic(trainee.judge, batch, fake.to(trainee.dtype), alpha, eager=trainee.critic)
    _descend(trainee.d_optimizer, total)
    objective.lipschitz.project(trainee.critic)
    for module in trainee.critic.modules():  # estimates of the new weights, one for all passes until the next update
        settle: Callable[[], None] | None = getattr(module, "settle", None)
        if settle is not None:
            settle()
    if update_generator:
        trainee.critic.requires_grad_(False)  # its gradients would be thrown away
        with trainee.mixed():
            total, more = objective.generator(trainee.translate, trainee.judge, batch, fake, targets)
        _descend(trainee.g_optimizer, total)
        trainee.critic.requires_grad_(True)
        trainee.ema.update(trainee.generator)
        parts |= more
    return {name: part.detach() for name, part in parts.items()}


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
