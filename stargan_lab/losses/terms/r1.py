"""Gradient penalty on real images."""

from typing import Literal

import torch
from torch import Tensor

from stargan_lab.losses.step import Network, Step
from stargan_lab.registry import family


@family("loss_term").register("r1", source="Mescheder et al. 2018 (arXiv:1801.04406), equation 9")
class R1:
    """Discriminator: ½ |∇ score|² at real images, mean over the batch.

    Its weight is the paper's γ.

    Args:
        reduction: whether to differentiate the sum of an image's patch scores, as ``lipschitz=gp`` does, or their mean.
    """

    network: Network = "discriminator"

    def __init__(self, *, reduction: Literal["sum", "mean"] = "sum") -> None:
        self.reduction = reduction

    def __call__(self, step: Step) -> Tensor:
        images = step.real.detach().requires_grad_()
        scores = step.scores(images)
        scores = scores.flatten(1).mean(1) if self.reduction == "mean" else scores
        (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        return gradient.flatten(1).square().sum(1).mean() / 2
