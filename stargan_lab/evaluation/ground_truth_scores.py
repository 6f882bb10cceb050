"""Scores against the exact ground truth, which a drawn dataset can give for every image and every target.

Shapes: n images, g identities in the gallery, H W pixels. x is an input, y its translation, t the ground truth (the
same face drawn with the target labels), all (n, 3, H, W) in [0, 1]. M is where there is work to do: the pixels at which
x and t differ by more than one grey level in some channel.
"""

import torch
from torch import Tensor

ONE_LEVEL = 1 / 255 + 1e-6
"""A difference of exactly one grey level does not count, whichever way k/255 was rounded."""


def to_change(x: Tensor, t: Tensor) -> Tensor:
    """M: (n, 1, H, W) bool."""
    return ((x - t).abs() > ONE_LEVEL).any(dim=1, keepdim=True)


def edit(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """1 - Σ_M |y - t| / Σ_M |x - t| per image: 1 is perfect, 0 leaves the image as it is, below 0 makes it worse.

    Returns:
        (n,) float64, NaN where M is empty.
    """
    x, y, t = x.double(), y.double(), t.double()
    mask = to_change(x, t)
    left = ((y - t).abs() * mask).sum(dim=(1, 2, 3))
    asked = ((x - t).abs() * mask).sum(dim=(1, 2, 3))
    return torch.where(asked > 0, 1 - left / asked, torch.nan)


def leak(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """Mean of |y - t| over the pixels outside M, per image: what changed that should not have.

    Returns:
        (n,) float64 in [0, 1], NaN where M is the whole image.
    """
    outside = ~to_change(x.double(), t.double())
    total = ((y.double() - t.double()).abs() * outside).sum(dim=(1, 2, 3))
    count = outside.sum(dim=(1, 2, 3)) * x.shape[1]
    return torch.where(count > 0, total / count, torch.nan)


def identity(y: Tensor, gallery: Tensor, own: Tensor) -> Tensor:
    """Whether the nearest of the gallery, by mean squared pixel distance, is the image's own identity.

    Args:
        gallery: (g, 3, H, W) in [0, 1], every identity drawn with the target labels of ``y``.
        own: (n,) the gallery's index of each image's own identity.
    Returns:
        (n,) float64 of 0 and 1; a tie for the nearest counts as right.
    """
    # grey levels in float64 make the squares and their sums exact for images that come from uint8
    a, b = y.double().flatten(1) * 255, gallery.double().flatten(1) * 255
    squared = (a**2).sum(1, keepdim=True) + (b**2).sum(1) - 2 * (a @ b.T)
    nearest = squared.min(dim=1).values
    return (squared.gather(1, own[:, None])[:, 0] <= nearest).double()
