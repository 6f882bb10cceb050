"""Train toy critics against a fixed generator.

Shapes: N points per update; points are (N, 2, 1, 1).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stargan_lab.config.schema import Component
from stargan_lab.config.toy import ToyConfig
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.losses.adversarial import AdversarialLoss
from stargan_lab.losses.lipschitz import GradientPenalty, LipschitzConstraint
from stargan_lab.registry import family
from stargan_lab.seeding import generator_for
from stargan_lab.toy.critic import ToyCritic, initialize_critic
from stargan_lab.toy.distributions import sample
from stargan_lab.training.diagnostics import gradient_norm_summary, layer_gradient_norms, share_at_bound

MEASURED_POINTS = 1024
"""Held-out real points, and as many generated ones, of every measurement."""

Points = Callable[[str, int, int], tuple[Tensor, Tensor]]
"""(purpose, step, N) to real and generated points, a pure function."""
Advance = Callable[[], None]


@dataclass
class TrainedCritic:
    """A critic with what was measured while it was trained.

    Attributes:
        history: metric -> one value per entry of ``steps``: critic_gap, generator_gradient.
        layer_gradient_norms: of the critic's loss with respect to the output of each layer, first layer first.
        gradient_norms: of the score at interpolates; mean, quantiles and share within 10 % of 1.
        share_at_bound_start, share_at_bound_end: share of weights of at least 99 % of the clip bound; without one, of
            the critic's own largest weight.
    """

    critic: ToyCritic
    steps: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=lambda: {"critic_gap": [], "generator_gradient": []})
    layer_gradient_norms: list[float] = field(default_factory=list)
    gradient_norms: dict[str, float] = field(default_factory=dict)
    share_at_bound_start: float = 0.0
    share_at_bound_end: float = 0.0


def build_critic(config: ToyConfig) -> ToyCritic:
    """A critic with torch's default weights. Raises ConfigError if the norm's options do not fit the width."""
    try:
        return ToyCritic(**config.critic.model_dump())
    except ValueError as error:
        raise ConfigError(f"critic.norm_options: {error}") from None


def noisy_points(config: ToyConfig) -> Points:
    """A generator that adds noise of unit variance to real points (Gulrajani et al. 2017, section 3.1)."""

    def points(purpose: str, step: int, count: int) -> tuple[Tensor, Tensor]:
        random = generator_for(config.seed, "toy", purpose, step)
        draw = config.distribution
        real, other = (sample(draw.name, count, random, **draw.options) for _ in range(2))
        return real, other + torch.randn(other.shape, generator=random)

    return points


def train_critic(
    config: ToyConfig,
    adversarial: AdversarialLoss,
    constraint: LipschitzConstraint,
    points: Points,
    steps: int,
    advance: Advance,
    generator_gradient: Callable[[AdversarialLoss, ToyCritic, Tensor], float],
) -> TrainedCritic:
    """Train one critic and measure it every ``config.every`` steps and at the end.

    Args:
        advance: called after every step.
        generator_gradient: from the loss, the critic and held-out generated points.
    Raises:
        LabError: the scores are not finite.
    """
    bound = getattr(constraint, "bound", None)
    trained = TrainedCritic(build_critic(config))
    critic = trained.critic
    initialize_critic(critic, config.seed, bound)
    constraint.project(critic)  # scale parameters of norms start at 1
    trained.share_at_bound_start = share_at_bound(critic, bound)
    optimizer: torch.optim.Optimizer = family("optimizer").build(
        config.optimizer.name, critic.parameters(), "discriminator", **config.optimizer.options
    )
    held_out = points("held out", 0, MEASURED_POINTS)
    for step in range(steps + 1):
        if step % config.every == 0 or step == steps:
            _measure(trained, step, adversarial, held_out, generator_gradient)
        if step == steps:
            break
        _update(critic, optimizer, adversarial, constraint, points("train", step, config.batch_size), (config, step))
        advance()
    trained.share_at_bound_end = share_at_bound(critic, bound)
    _measure_layers(trained, adversarial, held_out, config.seed)
    return trained


def _update(
    critic: ToyCritic,
    optimizer: torch.optim.Optimizer,
    adversarial: AdversarialLoss,
    constraint: LipschitzConstraint,
    points: tuple[Tensor, Tensor],
    at: tuple[ToyConfig, int],
) -> None:
    config, step = at
    real, fake = points
    # two passes, as when measuring: batch norm then normalizes real and generated points separately
    loss = torch.stack(adversarial.critic(critic(real), critic(fake))).sum()
    random = generator_for(config.seed, "toy", "alpha", step)
    alpha = torch.rand(constraint.samples, len(real), 1, 1, 1, generator=random)
    penalty = constraint.penalty(critic, real, fake, alpha)
    if penalty is not None:
        loss = loss + constraint.weight * penalty
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    constraint.project(critic)
    for module in critic.modules():
        if update_sigma := getattr(module, "update_sigma", None):
            update_sigma()


def _measure(
    trained: TrainedCritic,
    step: int,
    adversarial: AdversarialLoss,
    held_out: tuple[Tensor, Tensor],
    generator_gradient: Callable[[AdversarialLoss, ToyCritic, Tensor], float],
) -> None:
    with torch.no_grad():
        real, fake = (float(trained.critic(points).mean()) for points in held_out)
    values = {
        "critic_gap": real - fake,
        "generator_gradient": generator_gradient(adversarial, trained.critic, held_out[1]),
    }
    for name, value in values.items():
        if not torch.isfinite(torch.tensor(value)):
            raise LabError(f"{name} is {value} at step {step}; use a smaller optimizer.d_lr or clip bound")
        trained.history[name].append(value)
    trained.steps.append(step)


def _measure_layers(
    trained: TrainedCritic, adversarial: AdversarialLoss, held_out: tuple[Tensor, Tensor], seed: int
) -> None:
    real, fake = held_out
    critic = trained.critic

    def loss() -> Tensor:
        return torch.stack(adversarial.critic(critic(real), critic(fake))).sum()

    trained.layer_gradient_norms = [float(norm) for norm in layer_gradient_norms(critic, loss).values()]
    alpha = torch.rand(1, len(real), 1, 1, 1, generator=generator_for(seed, "toy", "held-out alpha"))
    norms = GradientPenalty(reduction="mean").norms(critic, real, fake, alpha)
    trained.gradient_norms = {name: float(value) for name, value in gradient_norm_summary(norms).items()}


def per_point_gradient(adversarial: AdversarialLoss, critic: ToyCritic, fake: Tensor) -> float:
    """Mean norm of the generator loss's gradient at a generated point, for a loss of this point alone."""
    fake = fake.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(adversarial.generator(critic(fake)), fake)
    return float(torch.linalg.vector_norm(gradient.flatten(1).double(), dim=1).mean()) * len(fake)


def train_critics(config: ToyConfig, advance: Callable[[str], Advance]) -> dict[str, TrainedCritic]:
    """One critic per constraint, all with the same points.

    Args:
        advance: maps the name of a critic to what is called after each of its steps.
    """
    adversarial = build("adversarial", config.adversarial)
    return {
        name: train_critic(
            config,
            adversarial,
            build("lipschitz", constraint),
            noisy_points(config),
            config.steps,
            advance(name),
            per_point_gradient,
        )
        for name, constraint in config.constraints.items()
    }


def build(family_name: str, component: Component) -> Any:
    return family(family_name).build(component.name, **component.options)
