"""Normalisations. Every one uses the statistics of what it is given, in training and in evaluation alike.

``norm`` serves generators, ``critic_norm`` the layers of a discriminator; shapes are (N, C, H, W).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.registry import family

NORMS = family("norm")
CRITIC_NORMS = family("critic_norm")


class InstanceNorm(nn.Module):
    """Instance norm by each image's own statistics, always (Ulyanov et al. 2016; Choi et al. 2018 with ``affine``).

    The reference keeps running statistics and never uses them, since it never leaves train mode. Here they exist only
    so that its checkpoints load and save, and nothing writes them.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Fill in the counter that checkpoints from before torch 0.4 do not have, as torch's own norm does."""
        state_dict.setdefault(f"{prefix}num_batches_tracked", torch.tensor(0))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:].numel() == 1:
            raise ValueError("instance norm of a 1x1 map is zero whatever the input")
        return functional.instance_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


@NORMS.register("instance", source="Ulyanov et al. 2016 (arXiv:1607.08022)")
def instance(channels: int, affine: bool) -> nn.Module:
    """Each channel of each image by its own mean and variance; the reference's choice in the generator."""
    return InstanceNorm(channels, affine)


@NORMS.register("layer", source="Ba et al. 2016; as GroupNorm(1, C) in WGAN-GP's code")
def layer(channels: int, affine: bool) -> nn.Module:
    """Each image by one mean and variance over channels and pixels, affine per channel."""
    return nn.GroupNorm(1, channels, affine=affine)


@NORMS.register("none")
def none(channels: int, affine: bool) -> nn.Module:
    """No normalisation."""
    return nn.Identity()


CRITIC_NORMS.register("instance", source="Ulyanov et al. 2016 (arXiv:1607.08022)")(instance)
CRITIC_NORMS.register("layer", source="Gulrajani et al. 2017 (arXiv:1704.00028), section 4")(layer)
CRITIC_NORMS.register("none", source="Choi et al. 2018 (arXiv:1711.09020)")(none)
