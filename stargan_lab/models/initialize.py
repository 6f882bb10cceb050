"""Initial weights that depend only on the seed and the parameter's role."""

import torch
from torch import nn

from stargan_lab.seeding import seed_for


def named(module: nn.Module, role: str) -> nn.Module:
    """Set the role that determines a layer's initial values, for layers whose index differs between variants."""
    setattr(module, "init_role", role)  # noqa: B010  nn.Module's annotations do not allow a string
    return module


@torch.no_grad()
def initialize(network: nn.Module, seed: int, prefix: str) -> nn.Module:
    """Redraw every parameter and buffer from its layer's default distribution, seeded by (seed, prefix, role, name).

    Changing one layer of a network therefore does not change the initial values of the others. The distributions are
    torch's defaults, as in the reference. The global random state is not changed.
    """
    with torch.random.fork_rng(devices=[]):
        for name, module in network.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                continue
            role = getattr(module, "init_role", name)
            values = {}
            for key in _tensors(module):
                torch.manual_seed(seed_for(seed, prefix, role, key))
                reset()
                values[key] = _tensors(module)[key].clone()
            for key, tensor in _tensors(module).items():
                tensor.copy_(values[key])
            if hasattr(module, "start"):
                module.start()
    return network


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a layer without those of its children."""
    return dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
