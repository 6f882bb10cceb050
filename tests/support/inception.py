"""Inception weights for tests: random, but with batch-norm statistics that fit the images.

With untouched statistics the features are near zero for any image, so every distance would be 0.000.
"""

from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn


def make_calibrated_inception(path: Path, images: Tensor) -> Path:
    """Write random weights for pytorch-fid's InceptionV3, its statistics measured on ``images`` (n, 3, H, W) uint8."""
    import pytorch_fid.inception as original
    from torchvision.models import Inception3

    with (
        torch.random.fork_rng(devices=[]),
        patch.object(Inception3, "load_state_dict", lambda self, state: None),
        patch.object(original, "load_state_dict_from_url", lambda *args, **kwargs: {}),
    ):
        torch.manual_seed(0)
        original_network = original.fid_inception_v3()
        with patch.object(original, "fid_inception_v3", lambda: original_network):
            network = original.InceptionV3().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # plain averages over all batches
    with torch.no_grad():
        network(images.float() / 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(original_network.state_dict(), path)
    return path
