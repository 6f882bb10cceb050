"""Networks, batches and trainees small enough to train many of them in a second."""

from typing import Any

import torch
from torch import nn

from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.losses.objective import Objective
from stargan_lab.losses.targets import TargetPolicy, permuted
from stargan_lab.models.initialise import initialise
from stargan_lab.registry import family
from stargan_lab.training.ema import Ema
from stargan_lab.training.updates import PRECISIONS, TrainState

FACES = LabelSpec("faces", ("Black_Hair", "Blond_Hair", "Young"), groups=(("Black_Hair", "Blond_Hair"),))
MOODS = LabelSpec("moods", ("happy", "sad"), "categorical")
ONE = LabelLayout((FACES,))
TWO = LabelLayout((FACES, MOODS))
LAYOUTS = {"one dataset": ONE, "two datasets": TWO}
SIZE = 16


def make_batch(layout: LabelLayout, step: int = 1, n: int = 4, size: int = SIZE) -> Batch:
    """A batch as a pure function of the step; the datasets take turns."""
    source = (step - 1) % len(layout.specs)
    spec = layout.specs[source]
    random = torch.Generator().manual_seed(step)
    images = torch.rand(n, 3, size, size, generator=random) * 2 - 1
    if spec.kind == "categorical":
        classes = torch.randint(len(spec.names), (n,), generator=random)
        return Batch(images, nn.functional.one_hot(classes, len(spec.names)).float(), source)
    return Batch(images, torch.randint(2, (n, len(spec.names)), generator=random).float(), source)


def make_generator(label_width: int, name: str = "resnet", seed: int = 0, **options: Any) -> nn.Module:
    known = family("generator").options(name)
    small = {key: value for key, value in {"width": 4, "blocks": 1}.items() if key in known}
    return initialise(family("generator").build(name, label_width, **small | options), seed, "generator")


def make_critic(label_width: int, name: str = "patchgan", seed: int = 0, size: int = SIZE, **options: Any) -> nn.Module:
    known = family("discriminator").options(name)
    small = {key: value for key, value in {"width": 4, "depth": 2}.items() if key in known}
    return initialise(family("discriminator").build(name, label_width, size, **small | options), seed, "critic")


def make_objective(
    layout: LabelLayout, lipschitz: str = "gp", targets: TargetPolicy = permuted, **options: Any
) -> Objective:
    constraint = family("lipschitz").build(lipschitz, **options)
    return Objective(layout, family("adversarial").build("wgan"), constraint, cls=1.0, rec=10.0, targets=targets)


def make_train_state(
    layout: LabelLayout,
    *,
    decay: float = 0.0,
    precision: str = "float32",
    generator: nn.Module | None = None,
    critic: nn.Module | None = None,
    **rates: float,
) -> TrainState:
    rates = {"g_lr": 1e-3, "d_lr": 2e-3} | rates
    dtype = torch.float32 if precision == "bfloat16" else PRECISIONS[precision]
    generator = (generator or make_generator(layout.generator_width)).to(dtype)
    critic = (critic or make_critic(layout.critic_width)).to(dtype)
    return TrainState(
        generator,
        critic,
        family("optimizer").build("adam", generator.parameters(), "generator", **rates),
        family("optimizer").build("adam", critic.parameters(), "critic", **rates),
        Ema(generator, decay),
        precision=precision,
    )
