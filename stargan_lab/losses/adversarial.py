"""Adversarial losses on scores of any shape; means are over batch and patches.

Trait: ``needs_lipschitz`` marks a loss that has no minimum unless the discriminator is constrained.
"""

from typing import Protocol

from torch import Tensor
from torch.nn import functional

from stargan_lab.registry import family

ADVERSARIALS = family("adversarial")


class AdversarialLoss(Protocol):
    """Two terms for the discriminator, one for the generator; each is minimized."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's scalar terms (real, fake) from the scores of real and of generated images."""
        ...

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's scalar term from the scores of generated images."""
        ...


@ADVERSARIALS.register("wgan", source="Arjovsky et al. 2017 (arXiv:1701.07875)", traits=["needs_lipschitz"])
class Wasserstein:
    """Difference of mean scores; needs a Lipschitz constraint."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return -real.mean(), fake.mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()


class _CrossEntropy:
    """Scores are logits of "real"; softplus(-s) = -log σ(s) and softplus(s) = -log(1 - σ(s))."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return functional.softplus(-real).mean(), functional.softplus(fake).mean()


@ADVERSARIALS.register("vanilla", source="Goodfellow et al. 2014 (arXiv:1406.2661), end of section 3")
class NonSaturating(_CrossEntropy):
    """Cross entropy; the generator minimizes -log D(fake), whose gradient is strong when D rejects its images."""

    def generator(self, fake: Tensor) -> Tensor:
        return functional.softplus(-fake).mean()


@ADVERSARIALS.register("minimax", source="Goodfellow et al. 2014 (arXiv:1406.2661), equation 1")
class Minimax(_CrossEntropy):
    """Cross entropy; the generator minimizes log(1 - D(fake)), whose gradient vanishes when D rejects its images."""

    def generator(self, fake: Tensor) -> Tensor:
        return -functional.softplus(fake).mean()


@ADVERSARIALS.register("lsgan", source="Mao et al. 2017 (arXiv:1611.04076), equation 9 with a = 0, b = c = 1")
class LeastSquares:
    """Half the squared distance of scores from 1 for real images and from 0 for generated ones."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return (real - 1).square().mean() / 2, fake.square().mean() / 2

    def generator(self, fake: Tensor) -> Tensor:
        return (fake - 1).square().mean() / 2


@ADVERSARIALS.register("hinge", source="Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957)")
class Hinge:
    """The discriminator's loss is zero beyond a margin of 1; the generator's is the Wasserstein term."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return functional.relu(1 - real).mean(), functional.relu(1 + fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()
