"""How the label reaches the generator."""

import torch
from torch import Tensor

from stargan_lab.registry import family

CONDITIONINGS = family("conditioning")


@CONDITIONINGS.register("concat", source="Choi et al. 2018 (arXiv:1711.09020), section 3.1")
class Concat:
    """The label spread to planes and put behind the image's channels.

    A constant plane only shifts a channel away from the border, which instance norm removes: labels act through the
    zero padding of the first convolution alone.
    """

    affine_default = True
    """Whether the norms have a scale and shift of their own when ``affine`` is left open."""

    def input_channels(self, label_width: int) -> int:
        return 3 + label_width

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N, 3, H, W) and (N, K) to (N, 3 + K, H, W)."""
        planes = labels[:, :, None, None].expand(-1, -1, *images.shape[-2:])
        return torch.cat([images, planes], dim=1)
