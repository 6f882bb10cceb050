"""Optimizers: one for both networks, with a learning rate for each."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from stargan_lab.errors import ConfigError
from stargan_lab.losses.step import Network
from stargan_lab.registry import family

OPTIMIZERS = family("optimizer")

Rate = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


@OPTIMIZERS.register("adam", source="Kingma & Ba 2015; betas as in Choi et al. 2018, section 5.3")
def adam(
    parameters: Iterable[nn.Parameter],
    network: Network,
    *,
    g_lr: Rate = 1e-4,
    d_lr: Rate = 1e-4,
    beta1: Beta = 0.5,
    beta2: Beta = 0.999,
) -> torch.optim.Optimizer:
    """Adam, eps 1e-8, no weight decay, as in the reference.

    Args:
        g_lr: learning rate of the generator.
        d_lr: learning rate of the discriminator.
        beta1: decay of the average of gradients.
        beta2: decay of the average of squared gradients.
    """
    rate = g_lr if network == "generator" else d_lr
    return torch.optim.Adam(parameters, rate, (beta1, beta2), eps=1e-8, fused=True)


@OPTIMIZERS.register("rmsprop", source="Tieleman & Hinton 2012; rate as in Arjovsky et al. 2017, algorithm 1")
def rmsprop(
    parameters: Iterable[nn.Parameter],
    network: Network,
    *,
    g_lr: Rate = 5e-5,
    d_lr: Rate = 5e-5,
    alpha: Beta = 0.99,
) -> torch.optim.Optimizer:
    """RMSprop, eps 1e-8, no momentum, as in the weight-clipping paper.

    Args:
        g_lr: learning rate of the generator.
        d_lr: learning rate of the discriminator.
        alpha: decay of the average of squared gradients.
    """
    return torch.optim.RMSprop(parameters, g_lr if network == "generator" else d_lr, alpha, eps=1e-8)


def make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Prepare an optimizer for CUDA graphs: steps never wait for the device, and the rate is a tensor that they read.

    Raises:
        ConfigError: the optimizer has no ``capturable`` option.
    """
    for group in optimizer.param_groups:
        if "capturable" not in group:
            name = type(optimizer).__name__
            raise ConfigError(f"trainer.cuda_graphs: {name} cannot be recorded, because it has no `capturable` option")
        group["capturable"] = True
        group["lr"] = torch.tensor(float(group["lr"]), device=device)


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Set a parameter group's learning rate, in place if it is a tensor that recorded steps read."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
