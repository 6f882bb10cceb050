"""pytorch-fid's InceptionV3 as an extractor (Heusel et al. 2017; Seitzer 2020).

Shapes: n images, D feature dimensions.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stargan_lab import files
from stargan_lab.checkpoints.weight_files import load_weights
from stargan_lab.errors import LabError, one_line
from stargan_lab.evaluation import inception_weights

DIMS = (64, 192, 768, 2048)
"""As in pytorch-fid's ``--dims``: first and second max pooling, before the auxiliary classifier, and pool3."""

FID_DIMS = 2048
"""Dimensions of the features that FID is defined on."""

UNVERIFIED = "inception_unverified"
"""Label of features from unofficial weights."""

MIB = 1 << 20


def inception_label(dims: int) -> str:
    """Label of features from the official weights; empty for those that FID is defined on."""
    return "" if dims == FID_DIMS else f"inception_{dims}"


class InceptionExtractor:
    """Features of 299 × 299 images, averaged over spatial positions, as in pytorch-fid.

    Attributes:
        dims: one of 64, 192, 768, 2048.
        verified: whether the weights are the official ones; only then a distance of these features is called FID.
    """

    name = "inception"
    preprocessing = "uint8 / 255, bilinear to 299 × 299 without antialiasing, to [-1, 1] (pytorch-fid's)"
    memory = 24 * MIB

    def __init__(self, path: Path, device: torch.device, dims: int = FID_DIMS) -> None:
        self._network, self.sha256 = _network(path, dims, device)
        self._device = device
        self.dims = dims
        self.identity = self.sha256
        self.verified = self.sha256 == inception_weights.VERIFIED_SHA256
        self.label = inception_label(dims) if self.verified else UNVERIFIED
        self.options: Mapping[str, Any] = {}

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 → (n, D) float32 on the CPU."""
        x = (images.to(self._device).float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # disable TF32 to match CPU features
            maps = self._network(x)[0]
        return maps.mean(dim=(2, 3)).cpu()


@files.remembered(maxsize=2)
def _network(path: Path, dims: int, device: torch.device) -> tuple[nn.Module, str]:
    """The network, which all extractors in this process share, and the SHA-256 of its weights."""
    network = _fused(_inception(path, dims).eval()).eval().requires_grad_(False)
    return network.to(device).to(memory_format=torch.channels_last), files.sha256_file(path)


def _fused(network: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, in float64: the same function in about half the time."""
    from torchvision.models.inception import BasicConv2d

    for module in network.modules():
        if isinstance(module, BasicConv2d):
            module.conv = fuse_conv_bn_eval(module.conv.double(), module.bn.double()).float()
            module.bn = nn.Identity()
    return network


def _inception(path: Path, dims: int) -> nn.Module:
    """pytorch-fid's network with the weights in ``path``. The download in its constructor is disabled."""
    import pytorch_fid.inception as original

    state = load_weights(path)
    with (
        torch.random.fork_rng(devices=[]),  # its layers' initialization draws from the global generator
        _no_download(original, state),
    ):
        try:
            network: nn.Module = original.InceptionV3([original.InceptionV3.BLOCK_INDEX_BY_DIM[dims]])
        except Exception as error:
            raise LabError(f"{path}: does not match pytorch-fid's InceptionV3 ({one_line(error)})") from None
    return network


@contextmanager
def _no_download(module: Any, state: Any) -> Iterator[None]:
    """Replace pytorch-fid's download with ``state``."""
    download = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *args, **kwargs: state
    try:
        yield
    finally:
        module.load_state_dict_from_url = download
