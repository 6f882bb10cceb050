"""Constraints that keep the discriminator Lipschitz: a loss term, a projection after each update, or neither.

Traits: ``constrains`` marks constraints that bound the discriminator; ``per_sample`` those that treat the score as a
function of one image; ``bounds_weights`` those that change the weights themselves.
"""

from collections.abc import Callable
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from stargan_lab.registry import family

LIPSCHITZ = family("lipschitz")

Scores = Callable[[Tensor], Tensor]
"""(N, 3, H, W) images to (N, 1, P, P) scores."""


class LipschitzConstraint(Protocol):
    """A term of the discriminator's loss, a projection of its weights, or both.

    Attributes:
        weight: factor of ``penalty`` in the loss.
        samples: interpolates per pair of real and fake images.
        bound: largest absolute weight that ``project`` leaves; None if weights are not bounded.
    """

    weight: float
    samples: int
    bound: float | None

    def penalty(self, scores: Scores, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor | None:
        """The unweighted scalar penalty, or None for a constraint without one.

        Args:
            scores: the discriminator's real/fake head.
            real, fake: (N, 3, H, W), detached.
            alpha: (samples, N, 1, 1, 1) in [0, 1), weight of the real image in each interpolate.
        """
        ...

    def project(self, critic: nn.Module) -> None:
        """Project the discriminator's weights onto the allowed set; called after each of its updates."""
        ...


class _NoTerm:
    """A constraint without a penalty."""

    weight = 0.0
    samples = 0
    bound: float | None = None

    def penalty(self, scores: Scores, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor | None:
        return None

    def project(self, critic: nn.Module) -> None:
        pass


@LIPSCHITZ.register(
    "gp", source="Gulrajani et al. 2017 (arXiv:1704.00028), equation 3", traits=["constrains", "per_sample"]
)
class GradientPenalty:
    """Pulls gradient norms between real and generated images toward 1.

    Args:
        weight: factor in the discriminator's loss.
        samples: interpolates per pair of real and fake images.
        reduction: whether to differentiate the sum of an image's patch scores, as the reference does, or their
            mean. The adversarial loss takes the mean; with ``sum``, its Lipschitz bound is 1 / (number of patches).
        one_sided: penalize only norms above 1.
    """

    bound: float | None = None

    def __init__(
        self,
        *,
        weight: Annotated[float, Field(ge=0)] = 10.0,
        samples: Annotated[int, Field(ge=1, le=64)] = 1,
        reduction: Literal["sum", "mean"] = "sum",
        one_sided: bool = False,
    ) -> None:
        self.weight = weight
        self.samples = samples
        self.reduction = reduction
        self.one_sided = one_sided

    def per_image(self, scores: Tensor) -> Tensor:
        """(N,) sum or mean of each image's (N, 1, P, P) patch scores: the function that the penalty differentiates."""
        return scores.flatten(1).mean(1) if self.reduction == "mean" else scores.flatten(1).sum(1)

    def norms(self, scores: Scores, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
        """(samples · N,) L2 norms of the gradient of ``per_image`` at the interpolates.

        No epsilon is needed: ``vector_norm`` has subgradient zero at zero, so zero gradients give no NaN.
        """
        between = (alpha * real + (1 - alpha) * fake).flatten(0, 1).requires_grad_()
        values = self.per_image(scores(between))
        (gradient,) = torch.autograd.grad(values.sum(), between, create_graph=True)
        return torch.linalg.vector_norm(gradient.flatten(1), dim=1)

    def penalty(self, scores: Scores, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor | None:
        excess = self.norms(scores, real, fake, alpha) - 1
        return (excess.clamp(min=0) if self.one_sided else excess).square().mean()

    def project(self, critic: nn.Module) -> None:
        pass


@LIPSCHITZ.register(
    "clip", source="Arjovsky et al. 2017 (arXiv:1701.07875), algorithm 1", traits=["constrains", "bounds_weights"]
)
class WeightClipping(_NoTerm):
    """Clips every weight of the discriminator after each of its updates.

    The paper uses RMSprop at 5e-5 (``optimizer=rmsprop``) and n_critic 5.

    Args:
        bound: weights are clipped to [-bound, bound].
    """

    def __init__(self, *, bound: Annotated[float, Field(gt=0)] = 0.01) -> None:
        self.bound: float = bound

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        for parameter in critic.parameters():
            parameter.clamp_(-self.bound, self.bound)


@LIPSCHITZ.register("none")
class Unconstrained(_NoTerm):
    """No constraint."""
