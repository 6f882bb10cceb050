"""One training step: a discriminator update, and a generator update when due. Nothing here waits for the device."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch
from stargan_lab.losses.objective import LossValues, Objective
from stargan_lab.losses.step import Discriminate, Step, Translate
from stargan_lab.seeding import generator_for
from stargan_lab.training.distributed import ALONE, World
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


@dataclass(frozen=True)
class Execution:
    """How a step is computed. In exact arithmetic all values give the same result.

    Attributes:
        precision: ``bfloat16`` applies to forward passes only, by autocast.
        discriminator_precision: ``float32`` keeps the discriminator, and with it the gradient penalty, out of autocast.
        compile: run plain forward passes through ``torch.compile``. Passes that are differentiated twice stay eager,
            since compiled graphs refuse double backward. State dicts come from the eager networks.
        channels_last: memory format of images; the networks' is set by whoever builds them.
        joint_pass: score real and translated images in one pass of the discriminator.
        cuda_graphs: on a CUDA device, record each kind of step once and replay it, without work on the CPU.
    """

    precision: str = "float32"
    discriminator_precision: str = "same"
    compile: bool = False
    channels_last: bool = False
    joint_pass: bool = False
    cuda_graphs: bool = False


def parameter_dtype(precision: str) -> torch.dtype:
    """Data type of parameters and images; ``bfloat16`` applies to forward passes only."""
    return torch.float64 if precision == "float64" else torch.float32


@dataclass
class TrainState:
    """Everything that changes during training.

    Attributes:
        step: discriminator updates so far.
        seconds: training time so far, with that before a resume.
        world: the processes that train the run together.
        plain_context: for passes of the discriminator that are differentiated once; see ``losses.step.Step``.
    """

    generator: nn.Module
    critic: nn.Module
    g_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer
    ema: Ema
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    execution: Execution = Execution()
    step: int = 0
    seconds: float = 0.0
    world: World = ALONE
    plain_context: Callable[[], AbstractContextManager[object]] = nullcontext

    def __post_init__(self) -> None:
        def network(eager: nn.Module) -> Any:
            # for each batch size by itself: a joint pass has twice the images, after which torch compiles for any
            return torch.compile(eager, dynamic=False) if self.execution.compile else eager

        self.translate: Translate = network(self.generator)
        self.discriminate: Discriminate = network(self.critic)

    def mixed(self) -> AbstractContextManager[object]:
        """Autocast for forward passes with ``bfloat16``."""
        if self.execution.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def critic_context(self) -> AbstractContextManager[object]:
        """For passes of the discriminator, inside ``mixed``."""
        if self.execution.precision != "bfloat16" or self.execution.discriminator_precision == "same":
            return nullcontext()
        return torch.autocast(self.device.type, enabled=False)

    @property
    def dtype(self) -> torch.dtype:
        """Data type of parameters and images."""
        return parameter_dtype(self.execution.precision)

    @property
    def records_steps(self) -> bool:
        """Whether steps run as CUDA graphs."""
        return self.execution.cuda_graphs and self.device.type == "cuda"

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of images."""
        return torch.channels_last if self.execution.channels_last else torch.contiguous_format


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
        fake = step.fake.detach().to(train_state.dtype)
        detached = replace(step, fake=fake, joint=train_state.execution.joint_pass)
        total, values = objective.total("discriminator", detached)
    _update(train_state.d_optimizer, total, train_state.world)
    objective.lipschitz.project(train_state.critic)
    for module in train_state.critic.modules():  # all passes until the next update use this estimate
        if update_sigma := getattr(module, "update_sigma", None):
            update_sigma()
    if update_generator:
        with _frozen(train_state.critic):  # saves gradients that no optimizer would use
            with train_state.mixed():
                total, generator_values = objective.total("generator", step)
            _update(train_state.g_optimizer, total, train_state.world)
        train_state.ema.update(train_state.generator)
        values |= generator_values
    return {name: value.detach() for name, value in values.items()}


def translated(
    train_state: TrainState, objective: Objective, batch: Batch, randomness: StepRandomness, *, eager: bool = False
) -> Step:
    """A batch with its targets and its translation, on the device; the translation has a graph if grad mode is on.

    Args:
        eager: use the eager networks. The graph of a compiled one can be differentiated only once.
    """
    layout, batch, randomness = objective.layout, *on_device(train_state, batch, randomness)
    targets = objective.targets(batch.labels, layout.specs[batch.source], randomness.permutation, randomness.choice)
    targets = targets[batch.rows]
    translate = train_state.generator if eager else train_state.translate
    return Step(
        layout=layout,
        adversarial=objective.adversarial,
        lipschitz=objective.lipschitz,
        real=batch.images,
        labels=batch.labels[batch.rows],
        source=batch.source,
        fake=translate(batch.images, layout.generator_label(targets, batch.source)),
        targets=targets,
        alpha=randomness.alpha[:, batch.rows],
        generator=train_state.generator,
        discriminator=train_state.critic,
        translate=translate,
        discriminate=train_state.critic if eager else train_state.discriminate,
        critic_context=train_state.critic_context,
        plain_context=train_state.plain_context,
    )


def on_device(train_state: TrainState, batch: Batch, randomness: StepRandomness) -> tuple[Batch, StepRandomness]:
    """Both on the device, in the networks' data type and memory format; returns before they have arrived."""

    def moved(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        if train_state.device.type == "cuda" and not tensor.is_cuda:
            tensor = tensor.pin_memory()  # copies from other memory wait for all earlier work on the device
        return tensor.to(train_state.device, dtype, non_blocking=True)

    images = moved(batch.images, train_state.dtype).contiguous(memory_format=train_state.memory_format)
    return (
        Batch(images, moved(batch.labels, train_state.dtype), batch.source, batch.rows),
        StepRandomness(
            moved(randomness.permutation, torch.int64),
            moved(randomness.alpha, train_state.dtype),
            moved(randomness.choice, randomness.choice.dtype),
        ),
    )


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient in the block; afterwards, those that did before it do again."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, world: World) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    world.average([parameter.grad for parameter in parameters if parameter.grad is not None])
    optimizer.step()
