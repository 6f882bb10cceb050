"""Networks, batches and train states small enough to train many of them in a second."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.losses.objective import Objective
from stargan_lab.losses.step import LossTerm, Step
from stargan_lab.losses.target_labels import TargetPolicy, permuted
from stargan_lab.models.initialize import initialize
from stargan_lab.models.twice import differentiated_once
from stargan_lab.registry import family
from stargan_lab.training.ema import Ema
from stargan_lab.training.updates import Execution, TrainState, parameter_dtype

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
    return initialize(family("generator").build(name, label_width, **small | options), seed, "generator")


def make_critic(label_width: int, name: str = "patchgan", seed: int = 0, size: int = SIZE, **options: Any) -> nn.Module:
    known = family("discriminator").options(name)
    small = {key: value for key, value in {"width": 4, "depth": 2}.items() if key in known}
    return initialize(family("discriminator").build(name, label_width, size, **small | options), seed, "critic")


def make_objective(
    layout: LabelLayout,
    lipschitz: str = "gp",
    *,
    cls: float = 1.0,
    rec: float = 10.0,
    targets: TargetPolicy = permuted,
    extra: Mapping[str, tuple[float, LossTerm]] | None = None,
    **options: Any,
) -> Objective:
    """WGAN objectives; ``options`` are those of the Lipschitz constraint."""
    constraint = family("lipschitz").build(lipschitz, **options)
    return Objective(layout, family("adversarial").build("wgan"), constraint, cls, rec, targets, extra or {})


def make_step(
    objective: Objective,
    critic: nn.Module,
    batch: Batch,
    fake: Tensor,
    *,
    generator: nn.Module | None = None,
    targets: Tensor | None = None,
) -> Step:
    """A step as loss terms get it; without ``generator`` for the terms of the discriminator."""
    random = torch.Generator().manual_seed(2)
    alpha = torch.rand(objective.lipschitz.samples, len(fake), 1, 1, 1, generator=random, dtype=fake.dtype)
    generator = generator or nn.Module()
    return Step(
        layout=objective.layout,
        adversarial=objective.adversarial,
        lipschitz=objective.lipschitz,
        real=batch.images,
        labels=batch.labels,
        source=batch.source,
        fake=fake,
        targets=batch.labels if targets is None else targets,
        alpha=alpha,
        generator=generator,
        discriminator=critic,
        translate=generator,
        discriminate=critic,
    )


def make_train_state(
    layout: LabelLayout,
    *,
    decay: float = 0.0,
    precision: str = "float32",
    generator: nn.Module | None = None,
    critic: nn.Module | None = None,
    g_lr: float = 1e-3,
    d_lr: float = 2e-3,
    **options: Any,
) -> TrainState:
    """``options`` are those of ``Execution``."""
    rates = {"g_lr": g_lr, "d_lr": d_lr}
    dtype = parameter_dtype(precision)
    generator = (generator or make_generator(layout.generator_width)).to(dtype)
    critic = (critic or make_critic(layout.critic_width)).to(dtype)
    return TrainState(
        generator,
        critic,
        family("optimizer").build("adam", generator.parameters(), "generator", **rates),
        family("optimizer").build("adam", critic.parameters(), "discriminator", **rates),
        Ema(generator, decay),
        execution=Execution(precision=precision, **options),
        plain_context=differentiated_once,
    )
