"""Adversarial losses on scores of any shape; means are over batch and patches.

Trait: ``needs_lipschitz`` marks a loss that has no minimum unless the critic is constrained.
"""

from typing import Protocol

from torch import Tensor
from torch.nn import functional

from stargan_lab.registry import family

ADVERSARIALS = family("adversarial")


class AdversarialLoss(Protocol):
    """Two terms for the critic, one for the generator; each is minimised."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of real and of generated images to the two scalar terms (real, fake)."""
        ...

    def generator(self, fake: Tensor) -> Tensor: ...


@ADVERSARIALS.register("wgan", source="Arjovsky et al. 2017 (arXiv:1701.07875)", traits=["needs_lipschitz"])
class Wasserstein:
    """Difference of mean scores; needs a Lipschitz critic."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return -real.mean(), fake.mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()


class _CrossEntropy:
    """Scores are logits of "real"; softplus(-s) = -log σ(s) and softplus(s) = -log(1 - σ(s))."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return functional.softplus(-real).mean(), functional.softplus(fake).mean()


@ADVERSARIALS.register("vanilla", source="Goodfellow et al. 2014 (arXiv:1406.2661), the end of section 3")
class NonSaturating(_CrossEntropy):
    """Cross entropy, the generator minimising -log D(fake): its gradient is strong where the critic is sure."""

    def generator(self, fake: Tensor) -> Tensor:
        return functional.softplus(-fake).mean()


@ADVERSARIALS.register("minimax", source="Goodfellow et al. 2014 (arXiv:1406.2661), equation 1")
class Minimax(_CrossEntropy):
    """Cross entropy, the generator minimising log(1 - D(fake)): its gradient vanishes where the critic is sure."""

    def generator(self, fake: Tensor) -> Tensor:
        return -functional.softplus(fake).mean()


@ADVERSARIALS.register("lsgan", source="Mao et al. 2017 (arXiv:1611.04076), equation 9 with a = 0, b = c = 1")
class LeastSquares:
    """Half the squared distance of scores to 1 for real and 0 for generated images."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return (real - 1).square().mean() / 2, fake.square().mean() / 2

    def generator(self, fake: Tensor) -> Tensor:
        return (fake - 1).square().mean() / 2


@ADVERSARIALS.register("hinge", source="Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957)")
class Hinge:
    """The critic pays for scores within a margin of 1 only; the generator's is the Wasserstein term."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return functional.relu(1 - real).mean(), functional.relu(1 + fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()
