"""Adversarial losses on scores of any shape; means are over batch and patches."""

from typing import Protocol

from torch import Tensor

from stargan_lab.registry import family

ADVERSARIALS = family("adversarial")


class AdversarialLoss(Protocol):
    """Two terms for the critic, one for the generator; each is minimised."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of real and of generated images to the two scalar terms (real, fake)."""
        ...

    def generator(self, fake: Tensor) -> Tensor: ...


@ADVERSARIALS.register("wgan", source="Arjovsky et al. 2017 (arXiv:1701.07875)")
class Wasserstein:
    """Difference of mean scores; needs a Lipschitz critic."""

    def critic(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return -real.mean(), fake.mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()
