"""The generator's gradient as the critic improves, for a generator whose points do not overlap the real ones.

The generator adds an offset θ to points of the distribution. The Wasserstein distance to the real points is ‖θ‖, with a
gradient of norm 1 everywhere. The discriminator of the original GAN, a classifier, can separate the two. The gradient
of log(1 − D), the loss ``minimax``, then vanishes as it improves (Arjovsky & Bottou 2017, arXiv:1701.04862, theorem 2.4
and figure 2); that of −log D, the loss ``vanilla``, does not, but is not bounded either (section 2.2.2).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from stargan_lab.config.toy import ToyConfig
from stargan_lab.losses.adversarial import AdversarialLoss
from stargan_lab.losses.lipschitz import LipschitzConstraint
from stargan_lab.registry import family
from stargan_lab.seeding import generator_for
from stargan_lab.toy.critic import ToyCritic
from stargan_lab.toy.distributions import sample
from stargan_lab.toy.train import Advance, Points, TrainedCritic, train_critic


def shifted_points(config: ToyConfig) -> Points:
    """A generator that adds (offset, 0) to points of the distribution."""

    def points(purpose: str, step: int, count: int) -> tuple[Tensor, Tensor]:
        random = generator_for(config.seed, "toy", "vanishing", purpose, step)
        draw = config.distribution
        real, other = (sample(draw.name, count, random, **draw.options) for _ in range(2))
        return real, other + torch.tensor([config.vanishing.offset, 0.0]).view(1, 2, 1, 1)

    return points


def offset_gradient(adversarial: AdversarialLoss, critic: ToyCritic, fake: Tensor) -> float:
    """Norm of the generator loss's gradient with respect to the offset, the generator's only parameter.

    A change of the offset moves all points alike, so its gradient is the sum of those of the points.
    """
    offset = torch.zeros(1, 2, 1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(adversarial.generator(critic(fake + offset)), offset)
    return float(torch.linalg.vector_norm(gradient.double()))


def vanishing_constraint(loss: str) -> LipschitzConstraint:
    """The gradient penalty for a loss that needs a Lipschitz constraint; none for others.

    At weight λ the slope of the best critic is 1 + offset / 2λ, so the penalty has its usual weight of 10.
    """
    needed = family("adversarial").has(loss, "needs_lipschitz")
    constraint: LipschitzConstraint = family("lipschitz").build("gp" if needed else "none")
    return constraint


def train_vanishing(config: ToyConfig, advance: Callable[[str], Advance]) -> dict[str, TrainedCritic]:
    """One critic per loss in ``config.vanishing.losses``; empty if its ``steps`` are 0."""
    if not config.vanishing.steps:
        return {}
    return {
        loss: train_critic(
            config,
            family("adversarial").build(loss),
            vanishing_constraint(loss),
            shifted_points(config),
            config.vanishing.steps,
            advance(loss),
            offset_gradient,
        )
        for loss in config.vanishing.losses
    }
