"""The toy critic: a multilayer perceptron on points, implemented with 1x1 convolutions.

Points are images (N, 2, 1, 1), so losses, Lipschitz constraints, norms and optimizers are those of training.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stargan_lab.models.initialize import initialize
from stargan_lab.registry import family


class ToyCritic(nn.Module):
    """ReLU perceptron, (N, 2, 1, 1) points to (N, 1, 1, 1) scores (12 layers in Gulrajani et al. 2017, figure 1b).

    Args:
        width: channels of each hidden layer.
        layers: linear layers, the one that outputs the score included; at least 2.
        norm: a ``discriminator_norm`` after every hidden layer but the first, as in the discriminators.
        norm_options: options of the norm.
        norm_affine: learn scale and shift in the norms.
    """

    def __init__(
        self, *, width: int, layers: int, norm: str, norm_options: Mapping[str, Any] | None, norm_affine: bool
    ) -> None:
        super().__init__()
        norms = family("discriminator_norm")
        modules: list[nn.Module] = [nn.Conv2d(2, width, 1), nn.ReLU()]
        for _ in range(layers - 2):
            layer = norms.build(norm, width, norm_affine, **norm_options or {})
            modules += [nn.Conv2d(width, width, 1), layer, nn.ReLU()]
        main: nn.Module = nn.Sequential(*modules, nn.Conv2d(width, 1, 1))
        if of_weights := getattr(norms.get(norm), "of_weights", None):
            main = of_weights(main)
        self.main = main

    def forward(self, points: Tensor) -> Tensor:
        scores: Tensor = self.main(points)
        return scores


@torch.no_grad()
def initialize_critic(critic: nn.Module, seed: int, bound: float | None) -> None:
    """Draw the weights of ``critic`` from He's distribution, uniform in ±√(6 / inputs), with zero biases.

    torch's default, smaller by √6, would let the gradient of twelve layers vanish from the start. With ``bound`` each
    layer's weights are scaled into ±bound: projecting them instead would put most of them on the bound before training.
    """
    initialize(critic, seed, "critic")
    for module in critic.modules():
        if isinstance(module, nn.Conv2d):
            # a common factor of the weights leaves spectral norm's singular vectors as they are
            he = (6 / module.in_channels) ** 0.5
            default = module.in_channels**-0.5
            module.weight.mul_((he if bound is None else min(he, bound)) / default)
            if module.bias is not None:
                module.bias.zero_()
