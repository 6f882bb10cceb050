"""The objectives of discriminator and generator: weighted sums of registered loss terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from stargan_lab.errors import LabError
from stargan_lab.labels import LabelLayout
from stargan_lab.losses.adversarial import AdversarialLoss
from stargan_lab.losses.lipschitz import LipschitzConstraint
from stargan_lab.losses.step import LossTerm, Network, Step
from stargan_lab.losses.target_labels import TargetPolicy, permuted
from stargan_lab.registry import family

LossValues = dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """The objectives of both networks.

    Attributes:
        layout: label layout of the datasets.
        adversarial: the loss on real/fake scores.
        lipschitz: the constraint on the discriminator.
        cls, rec: weights of classification and reconstruction.
        targets: chooses the labels that a batch is translated to.
        extra: further terms by name, each with its weight.
    """

    layout: LabelLayout
    adversarial: AdversarialLoss
    lipschitz: LipschitzConstraint
    cls: float
    rec: float
    targets: TargetPolicy = permuted
    extra: Mapping[str, tuple[float, LossTerm]] = field(default_factory=dict)

    @cached_property
    def terms(self) -> Mapping[str, tuple[float, LossTerm]]:
        """Weight and term by name, in the order of summation."""
        standard = {
            "d_real": 1.0,
            "d_fake": 1.0,
            "d_cls": self.cls,
            "d_gp": self.lipschitz.weight,
            "g_fake": 1.0,
            "g_rec": self.rec,
            "g_cls": self.cls,
        }
        return {name: (weight, family("loss_term").build(name)) for name, weight in standard.items()} | dict(self.extra)

    def total(self, network: Network, step: Step) -> tuple[Tensor, LossValues]:
        """The weighted sum of a network's terms, and the unweighted values by name.

        Raises:
            LabError: a term is not a scalar.
        """
        total, values = None, {}
        for name, (weight, term) in self.terms.items():
            value = term(step) if term.network == network else None
            if value is None:
                continue
            if value.ndim:
                raise LabError(f"loss term {name!r}: expected a scalar, got shape {tuple(value.shape)}")
            values[name] = value
            total = weight * value if total is None else total + weight * value
        assert total is not None  # d_real and g_fake always apply
        return total, values
