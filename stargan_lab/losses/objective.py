"""The two objectives of StarGAN (Choi et al. 2018, equations 5 and 6), term by term.

Shapes: N batch, A labels of the batch's dataset, H W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from stargan_lab.labels import Batch, LabelLayout
from stargan_lab.losses.adversarial import AdversarialLoss
from stargan_lab.losses.lipschitz import LipschitzConstraint
from stargan_lab.losses.targets import TargetPolicy, permuted

Generator = Callable[[Tensor, Tensor], Tensor]
Critic = Callable[[Tensor], tuple[Tensor, Tensor]]
LossTerms = dict[str, Tensor]


def classification(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """Loss of (N, A) logits against (N, A) labels.

    Binary: cross entropy summed over labels and batch, divided by N, so it grows with A (the reference's reduction).
    Categorical: cross entropy of the class, mean over N.
    """
    if kind == "categorical":
        return functional.cross_entropy(logits, labels.argmax(1))
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


@dataclass(frozen=True)
class Objective:
    """What critic and generator minimise.

    Attributes:
        layout: how labels of the datasets are laid out.
        adversarial: the loss on real/fake scores.
        lipschitz: the constraint on the critic.
        cls, rec: weights of classification and reconstruction.
        targets: which labels a batch is translated to.
    """

    layout: LabelLayout
    adversarial: AdversarialLoss
    lipschitz: LipschitzConstraint
    cls: float
    rec: float
    targets: TargetPolicy = permuted

    def critic(
        self, critic: Critic, batch: Batch, fake: Tensor, alpha: Tensor, eager: Critic | None = None
    ) -> tuple[Tensor, LossTerms]:
        """The critic's total and its unweighted terms.

        Args:
            fake: (N, 3, H, W), used detached.
            alpha: see ``LipschitzConstraint.penalty``.
            eager: the critic for the constraint, where ``critic`` cannot be differentiated twice.
        """
        twice = eager or critic
        fake = fake.detach()
        real_scores, logits = critic(batch.images)
        fake_scores, _ = critic(fake)
        real_term, fake_term = self.adversarial.critic(real_scores, fake_scores)
        cls_term = self._classification(logits, batch.labels, batch.source)
        parts = {"d_real": real_term, "d_fake": fake_term, "d_cls": cls_term}
        total = real_term + fake_term + self.cls * cls_term
        penalty = self.lipschitz.penalty(lambda x: twice(x)[0], batch.images, fake, alpha)
        if penalty is not None:
            parts["d_gp"] = penalty
            total = total + self.lipschitz.weight * penalty
        return total, parts

    def generator(
        self, generator: Generator, critic: Critic, batch: Batch, fake: Tensor, targets: Tensor
    ) -> tuple[Tensor, LossTerms]:
        """The generator's total and its unweighted terms.

        Args:
            fake: (N, 3, H, W) the batch translated to ``targets``, with its graph.
            targets: (N, A).
        """
        scores, logits = critic(fake)
        fake_term = self.adversarial.generator(scores)
        cls_term = self._classification(logits, targets, batch.source)
        back = generator(fake, self.layout.generator_label(batch.labels, batch.source))
        rec_term = (batch.images - back).abs().mean()
        total = fake_term + self.rec * rec_term + self.cls * cls_term
        return total, {"g_fake": fake_term, "g_rec": rec_term, "g_cls": cls_term}

    def _classification(self, logits: Tensor, labels: Tensor, source: int) -> Tensor:
        return classification(self.layout.source_logits(logits, source), labels, self.layout.specs[source].kind)
