"""The terms of StarGAN's objectives (Choi et al. 2018, equations 5 and 6)."""

from torch import Tensor
from torch.nn import functional

from stargan_lab.losses.step import Network, Step
from stargan_lab.registry import family

LOSS_TERMS = family("loss_term")


def classification(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """Loss of (N, A) logits against (N, A) labels, a scalar.

    Binary: cross entropy summed over labels and batch, divided by N, so it grows with A (the reference's reduction).
    Categorical: cross entropy of the class, mean over N.
    """
    if kind == "categorical":
        return functional.cross_entropy(logits, labels.argmax(1))
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


@LOSS_TERMS.register("d_real", source="Choi et al. 2018, equation 1", weight="1")
class DiscriminatorReal:
    """Discriminator: adversarial loss of real images."""

    network: Network = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return step.discriminator_terms[0]


@LOSS_TERMS.register("d_fake", source="Choi et al. 2018, equation 1", weight="1")
class DiscriminatorFake:
    """Discriminator: adversarial loss of translated images."""

    network: Network = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return step.discriminator_terms[1]


@LOSS_TERMS.register("d_cls", source="Choi et al. 2018, equation 2", weight="weights.cls")
class DiscriminatorClassification:
    """Discriminator: classification loss of real images."""

    network: Network = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return classification(step.real_logits, step.labels, step.spec.kind)


@LOSS_TERMS.register("d_gp", source="Choi et al. 2018, equation 8", weight="lipschitz.weight")
class LipschitzPenalty:
    """Discriminator: penalty of the Lipschitz constraint; absent for constraints without a penalty."""

    network: Network = "discriminator"

    def __call__(self, step: Step) -> Tensor | None:
        return step.lipschitz.penalty(step.scores, step.real, step.fake, step.alpha)


@LOSS_TERMS.register("g_fake", source="Choi et al. 2018, equation 1", weight="1")
class GeneratorFake:
    """Generator: adversarial loss of translated images."""

    network: Network = "generator"

    def __call__(self, step: Step) -> Tensor:
        return step.adversarial.generator(step.fake_scores)


@LOSS_TERMS.register("g_rec", source="Choi et al. 2018, equation 4", weight="weights.rec")
class Reconstruction:
    """Generator: mean |x - G(G(x, target), source)|."""

    network: Network = "generator"

    def __call__(self, step: Step) -> Tensor:
        return (step.real - step.reconstruction).abs().mean()


@LOSS_TERMS.register("g_cls", source="Choi et al. 2018, equation 3", weight="weights.cls")
class GeneratorClassification:
    """Generator: classification loss of translated images."""

    network: Network = "generator"

    def __call__(self, step: Step) -> Tensor:
        return classification(step.fake_logits, step.targets, step.spec.kind)
