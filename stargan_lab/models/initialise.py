"""Starting values that depend on a parameter's name and the seed, and on nothing else."""

import torch
from torch import nn

from stargan_lab.seeding import seed_for


def named(module: nn.Module, role: str) -> nn.Module:
    """Give a layer a role to draw its initial value under, where its place in the network shifts between variants."""
    setattr(module, "init_role", role)  # noqa: B010  a plain string, which nn.Module's annotations do not foresee
    return module


@torch.no_grad()
def initialise(network: nn.Module, seed: int, prefix: str) -> nn.Module:
    """Redraw every parameter and buffer by its layer's own default distribution, from hash(seed, prefix, role, name).

    Switching one part of a network on or off so leaves the start of all others as it was. The distributions are torch's
    defaults, which are the reference's. The process's random state is not touched.
    """
    with torch.random.fork_rng(devices=[]):
        for name, module in network.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                continue
            role = getattr(module, "init_role", name)
            drawn = {}
            for key in _own(module):
                torch.manual_seed(seed_for(seed, prefix, role, key))
                reset()
                drawn[key] = _own(module)[key].clone()
            for key, tensor in _own(module).items():
                tensor.copy_(drawn[key])
            if hasattr(module, "start"):
                module.start()
    return network


def _own(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a layer itself."""
    return dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
