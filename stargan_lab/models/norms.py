"""Normalisations. Every one uses the statistics of what it is given, in training and in evaluation alike.

``norm`` serves generators, ``critic_norm`` the layers of a discriminator; shapes are (N, C, H, W).

``update_sigma`` of a module is called after each update of the critic's weights, ``start`` once its initial values are
drawn.

Traits: ``needs_map`` marks a norm that is zero on a 1x1 map, ``erases_planes`` one that removes what is constant over a
channel, ``couples_samples`` one whose output for an image depends on the others of its batch, ``constrains`` one that
bounds the critic's slope, ``absent`` the one that is none. ``of_weights`` marks an entry that norms the convolutions'
weights: an attribute of that name rebuilds the convolutions of a module, and what is built comes after them as the
identity.
"""

from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.models.initialise import named
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


@NORMS.register("instance", source="Ulyanov et al. 2016 (arXiv:1607.08022)", traits=["needs_map", "erases_planes"])
def instance(channels: int, affine: bool) -> nn.Module:
    """Each channel of each image by its own mean and variance; the reference's choice in the generator."""
    return InstanceNorm(channels, affine)


@NORMS.register("layer", source="Ba et al. 2016; as GroupNorm(1, C) in WGAN-GP's code")
def layer(channels: int, affine: bool) -> nn.Module:
    """Each image by one mean and variance over channels and pixels, affine per channel."""
    return nn.GroupNorm(1, channels, affine=affine)


@NORMS.register("group", source="Wu & He 2018 (arXiv:1803.08494)")
def group(channels: int, affine: bool) -> nn.Module:
    """Each image by a mean and variance per 16 channels; where 16 does not divide C, per as many as divide both.

    Up to 16 channels that is layer norm.
    """
    size = gcd(16, channels)
    return nn.GroupNorm(channels // size if size > 1 else 1, channels, affine=affine)


@NORMS.register("none", traits=["absent"])
def none(channels: int, affine: bool) -> nn.Module:
    """No normalisation."""
    return nn.Identity()


CRITIC_NORMS.register(
    "instance", source="Ulyanov et al. 2016 (arXiv:1607.08022)", traits=["needs_map", "erases_planes"]
)(instance)
CRITIC_NORMS.register("layer", source="Gulrajani et al. 2017 (arXiv:1704.00028), section 4")(layer)
CRITIC_NORMS.register("group", source="Wu & He 2018 (arXiv:1803.08494)")(group)
CRITIC_NORMS.register("none", source="Choi et al. 2018 (arXiv:1711.09020)", traits=["absent"])(none)


@CRITIC_NORMS.register(
    "batch", source="Ioffe & Szegedy 2015 (arXiv:1502.03167)", traits=["needs_map", "couples_samples"]
)
def batch(channels: int, affine: bool) -> nn.Module:
    """Each channel by mean and variance over the batch and the pixels, never by running statistics."""
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)


class SpectralConv2d(nn.Conv2d):
    """Convolution by W / σ(W), σ the largest singular value of W as (out, in · k · k); Miyato et al. 2018, section 2.1.

    ``u`` (out,), the estimate of the left singular vector, is part of the state. ``update_sigma`` runs one power
    iteration after each update of the weights, and fifteen at initialisation. Forward passes only read ``u``, so all
    passes between two updates use the same sigma. The weight keeps its name, shape and initial value.
    """

    u: Tensor

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.register_buffer("u", functional.normalize(torch.randn(self.out_channels), dim=0))

    def start(self) -> None:
        for _ in range(15):
            self.update_sigma()

    @torch.no_grad()
    def update_sigma(self) -> None:
        matrix = self.weight.flatten(1)
        right = functional.normalize(matrix.mT @ self.u, dim=0)
        self.u.copy_(functional.normalize(matrix @ right, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.autocast(x.device.type, enabled=False):  # half precision would bend the estimate
            left = self.u.clone()  # so that settling does not touch what a backward pass still needs
            with torch.no_grad():
                right = functional.normalize(matrix.mT @ left, dim=0)
            sigma = left @ (matrix @ right)
        return self._conv_forward(x, self.weight / sigma, self.bias)


def spectral_convolutions(module: nn.Module) -> nn.Module:
    """``module`` with every ``nn.Conv2d`` in it, or itself, made a ``SpectralConv2d`` of the same shape and role."""
    for name, child in module.named_children():
        setattr(module, name, spectral_convolutions(child))
    if type(module) is not nn.Conv2d:
        return module
    options = {key: getattr(module, key) for key in ("kernel_size", "stride", "padding", "dilation", "groups")}
    bounded = SpectralConv2d(module.in_channels, module.out_channels, **options, bias=module.bias is not None)
    role = getattr(module, "init_role", None)
    return bounded if role is None else named(bounded, str(role))


@CRITIC_NORMS.register("spectral", source="Miyato et al. 2018 (arXiv:1802.05957)", traits=["constrains", "of_weights"])
class SpectralNorm(nn.Identity):
    """The weights of every convolution on the way to the score by their largest singular value; no layer of its own."""

    of_weights = staticmethod(spectral_convolutions)

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
