"""A training step, as passed to loss terms.

Shapes: N batch, A labels of the batch's dataset, H W pixels, P patches per side.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.losses.adversarial import AdversarialLoss
from stargan_lab.losses.lipschitz import LipschitzConstraint

Network = Literal["generator", "discriminator"]
Translate = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, H, W) images and (N, generator_width) labels to images."""
Discriminate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(N, 3, H, W) images to (N, 1, P, P) scores and (N, critic_width) logits."""


@dataclass(frozen=True)
class Step:
    """A batch, its translation and the networks; anything that needs a forward pass is computed on first use.

    In the discriminator's objective ``fake`` is detached. In the generator's, ``fake`` carries the generator's graph,
    and the discriminator has been updated and is frozen.

    Attributes:
        layout: label layout of the datasets.
        adversarial: the loss on real/fake scores.
        lipschitz: the constraint on the discriminator.
        real: (N, 3, H, W) in [-1, 1], images of one dataset.
        labels: (N, A) of 0 and 1, their labels.
        source: their dataset, an index into ``layout.specs``.
        fake: (N, 3, H, W), ``real`` translated to ``targets``.
        targets: (N, A) of 0 and 1.
        alpha: (samples, N, 1, 1, 1) in [0, 1), random positions between fake (0) and real (1) images; ``samples`` is
            set by the Lipschitz constraint.
        generator, discriminator: the modules, to access their layers or to differentiate twice.
        translate, discriminate: the same networks for plain forward passes, compiled with ``trainer.compile``.
        joint: score ``real`` and ``fake`` in one pass; needs a discriminator that scores each image by itself.
        critic_context: entered around passes of the discriminator, to set their precision.
        plain_context: entered around those passes of the discriminator that only the update differentiates.
    """

    layout: LabelLayout
    adversarial: AdversarialLoss
    lipschitz: LipschitzConstraint
    real: Tensor
    labels: Tensor
    source: int
    fake: Tensor
    targets: Tensor
    alpha: Tensor
    generator: nn.Module
    discriminator: nn.Module
    translate: Translate
    discriminate: Discriminate
    joint: bool = False
    critic_context: Callable[[], AbstractContextManager[object]] = nullcontext
    plain_context: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def spec(self) -> LabelSpec:
        """The labels of the batch's dataset."""
        return self.layout.specs[self.source]

    @property
    def real_scores(self) -> Tensor:
        """(N, 1, P, P) scores of ``real``."""
        return self._of_real[0]

    @property
    def real_logits(self) -> Tensor:
        """(N, A) label logits of ``real``."""
        return self._of_real[1]

    @property
    def fake_scores(self) -> Tensor:
        """(N, 1, P, P) scores of ``fake``."""
        return self._of_fake[0]

    @property
    def fake_logits(self) -> Tensor:
        """(N, A) label logits of ``fake``."""
        return self._of_fake[1]

    @cached_property
    def discriminator_terms(self) -> tuple[Tensor, Tensor]:
        """The adversarial loss of the discriminator: the scalar terms of real and of fake images."""
        return self.adversarial.critic(self.real_scores, self.fake_scores)

    @cached_property
    def reconstruction(self) -> Tensor:
        """(N, 3, H, W), ``fake`` translated back to ``labels``; has no graph in the discriminator's objective."""
        with torch.set_grad_enabled(self.fake.requires_grad):
            return self.translate(self.fake, self.layout.generator_label(self.labels, self.source))

    def scores(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) images to (N, 1, P, P) scores that can be differentiated twice."""
        with self.critic_context():
            scores: Tensor = self.discriminator(images)[0]
        return scores

    @cached_property
    def _of_real(self) -> tuple[Tensor, Tensor]:
        return self._of_both[0] if self.joint else self._discriminated(self.real)

    @cached_property
    def _of_fake(self) -> tuple[Tensor, Tensor]:
        return self._of_both[1] if self.joint else self._discriminated(self.fake)

    @cached_property
    def _of_both(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        scores, logits = self._discriminated(torch.cat([self.real, self.fake]))
        real, fake = zip(scores.chunk(2), logits.chunk(2), strict=True)
        return real, fake

    def _discriminated(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with self.critic_context(), self.plain_context():
            scores, logits = self.discriminate(images.to(self.real.dtype))
        scores, logits = scores.to(self.real.dtype), logits.to(self.real.dtype)  # losses are not in half precision
        return scores, self.layout.source_logits(logits, self.source)


class LossTerm(Protocol):
    """A term of one network's objective; built with its options as keyword arguments.

    Attributes:
        network: whose objective it belongs to.
    """

    network: Network

    def __call__(self, step: Step) -> Tensor | None:
        """The scalar to minimize, before its weight; None where the term does not apply to this step."""
        ...
