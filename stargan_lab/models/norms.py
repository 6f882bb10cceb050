"""Normalization layers. All use the statistics of their input, in training and evaluation.

The family ``norm`` is for generators, ``discriminator_norm`` for discriminators; shapes are (N, C, H, W). A builder
takes the number of channels, whether to learn scale and shift, and its options; it raises ValueError for options that
do not fit the channels. A module's ``update_sigma`` is called after each update of the discriminator's weights, and its
``start`` after its weights are initialized.

Traits:
    needs_map: the output is zero on a 1x1 map.
    erases_planes: removes any constant plane.
    couples_samples: the output for an image depends on the other images of the batch.
    constrains: bounds the discriminator's Lipschitz constant.
    absent: no normalization.
    of_weights: normalizes the weights of the convolutions; the builder's attribute of this name replaces the
        convolutions of a module, and the layer that it builds is the identity.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from math import gcd
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.models.initialize import named
from stargan_lab.models.twice import Conv2d
from stargan_lab.registry import family

NORMS = family("norm")
DISCRIMINATOR_NORMS = family("discriminator_norm")


def norm_refusal(family_name: str, options: Mapping[str, Any], channels: int) -> str | None:
    """Why the norm in a network's ``options`` cannot normalize ``channels``, for the network's ``refusal``; or None."""
    try:
        with torch.device("meta"):
            family(family_name).build(options["norm"], channels, True, **options["norm_options"] or {})
    except ValueError as error:
        return f"norm_options: {error}"
    return None


class InstanceNorm(nn.Module):
    """Instance norm without running statistics (Ulyanov et al. 2016; Choi et al. 2018 with ``affine``).

    The reference has running statistics but never uses them, because it never leaves training mode. Here the buffers
    exist only for compatibility with its checkpoints and are never updated.
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
        """Add the counter that is missing in checkpoints from before torch 0.4, as torch's instance norm does."""
        state_dict.setdefault(f"{prefix}num_batches_tracked", torch.tensor(0))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:].numel() == 1:
            raise ValueError("instance norm of a 1x1 map is always zero")
        # the same values as instance_norm, in half the time on the CPU
        return functional.group_norm(x, x.shape[1], self.weight, self.bias, self.eps)


@NORMS.register("instance", source="Ulyanov et al. 2016 (arXiv:1607.08022)", traits=["needs_map", "erases_planes"])
def instance(channels: int, affine: bool) -> nn.Module:
    """Mean and variance per image and channel; used in the reference's generator."""
    return InstanceNorm(channels, affine)


@NORMS.register("layer", source="Ba et al. 2016; as GroupNorm(1, C) in WGAN-GP's code")
def layer(channels: int, affine: bool) -> nn.Module:
    """Mean and variance per image over all channels and pixels; scale and shift per channel."""
    return nn.GroupNorm(1, channels, affine=affine)


@NORMS.register("group", source="Wu & He 2018 (arXiv:1803.08494)")
def group(channels: int, affine: bool, *, groups: Annotated[int, Field(ge=1)] | None = None) -> nn.Module:
    """Mean and variance per image and group of channels; scale and shift per channel.

    Args:
        groups: number of groups, a divisor of the channels C; None: groups of gcd(16, C) channels, or one if C is odd.
    Raises:
        ValueError: ``groups`` does not divide the channels.
    """
    if groups is None:
        size = gcd(16, channels)
        groups = channels // size if size > 1 else 1
    if channels % groups:
        raise ValueError(f"groups={groups} does not divide {channels} channels")
    return nn.GroupNorm(groups, channels, affine=affine)


@NORMS.register("none", traits=["absent"])
def none(channels: int, affine: bool) -> nn.Module:
    """No normalization."""
    return nn.Identity()


DISCRIMINATOR_NORMS.register(
    "instance", source="Ulyanov et al. 2016 (arXiv:1607.08022)", traits=["needs_map", "erases_planes"]
)(instance)
DISCRIMINATOR_NORMS.register("layer", source="Gulrajani et al. 2017 (arXiv:1704.00028), section 4")(layer)
DISCRIMINATOR_NORMS.register("group", source="Wu & He 2018 (arXiv:1803.08494)")(group)
DISCRIMINATOR_NORMS.register("none", source="Choi et al. 2018 (arXiv:1711.09020)", traits=["absent"])(none)


@DISCRIMINATOR_NORMS.register(
    "batch", source="Ioffe & Szegedy 2015 (arXiv:1502.03167)", traits=["needs_map", "couples_samples"]
)
def batch(channels: int, affine: bool) -> nn.Module:
    """Mean and variance per channel over batch and pixels, also in evaluation; no running statistics."""
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)


class SpectralConv2d(Conv2d):
    """Convolution with W / σ(W), σ the largest singular value of W as (out, in · k · k); Miyato et al. 2018, sec. 2.1.

    ``u`` (out,), the estimate of the left singular vector, is part of the state. ``update_sigma`` runs one power
    iteration after each update of the weights; initialization runs fifteen. Forward passes only read ``u``, so all
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
        # half precision would bias the estimate; autocast does not know tensors without values
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            left = self.u.clone()  # update_sigma must not modify what a backward pass needs
            with torch.no_grad():
                right = functional.normalize(matrix.mT @ left, dim=0)
            sigma = left @ (matrix @ right)
        return self._conv_forward(x, self.weight / sigma, self.bias)


def spectral_convolutions(module: nn.Module) -> nn.Module:
    """``module`` with every ``nn.Conv2d``, or itself, replaced by a ``SpectralConv2d`` of the same shape and role."""
    for name, child in module.named_children():
        setattr(module, name, spectral_convolutions(child))
    if type(module) not in (nn.Conv2d, Conv2d):
        return module
    assert isinstance(module, nn.Conv2d)
    options = {key: getattr(module, key) for key in ("kernel_size", "stride", "padding", "dilation", "groups")}
    spectral = SpectralConv2d(module.in_channels, module.out_channels, **options, bias=module.bias is not None)
    role = getattr(module, "init_role", None)
    return spectral if role is None else named(spectral, str(role))


@DISCRIMINATOR_NORMS.register(
    "spectral", source="Miyato et al. 2018 (arXiv:1802.05957)", traits=["constrains", "of_weights"]
)
class SpectralNorm(nn.Identity):
    """Divides the weights of all convolutions that affect the scores by their largest singular value; adds no layer."""

    of_weights = staticmethod(spectral_convolutions)

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
