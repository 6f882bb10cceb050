"""Scores against the exact ground truth, which a synthetic dataset has for every image and every target.

Shapes: n images, g identities in the gallery, H W pixels. x is an input, y its translation, t the ground truth (the
same face rendered with the target labels), all (n, 3, H, W) in [0, 1]. M is the mask of pixels that should
change, at which x and t differ by more than one gray level in some channel.
"""

import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.registry import family

ONE_LEVEL = 1 / 255 + 1e-6
"""A difference of exactly one gray level does not count, whichever way k/255 was rounded."""

image_metric = family("image_metric")


@image_metric.register(
    "edit",
    source="this project",
    traits=("cross",),
    direction="higher",
    decimals=3,
    uses=("ground_truth",),
    excludes="outputs whose target changes no pixel",
)
def edit(batch: ImageBatch) -> Tensor | None:
    """Share of the requested change that was made; 1 is exact."""
    if batch.ground_truth is None:
        return None
    return edit_score(_unit(batch.x), _unit(batch.y), _unit(batch.ground_truth))


@image_metric.register("leak", source="this project", direction="lower", decimals=4, uses=("ground_truth",))
def leak(batch: ImageBatch) -> Tensor | None:
    """Mean change of pixels that should not change."""
    if batch.ground_truth is None:
        return None
    return leak_score(_unit(batch.x), _unit(batch.y), _unit(batch.ground_truth))


@image_metric.register("identity", source="this project", direction="higher", decimals=3, uses=("ground_truth",))
def identity(batch: ImageBatch) -> Tensor | None:
    """Share of outputs whose nearest identity is the correct one."""
    if batch.ground_truth is None:
        return None
    y, correct = _unit(batch.y), torch.full((len(batch.y),), torch.nan, dtype=torch.float64)
    identities = torch.arange(batch.indices.start, batch.indices.stop)
    for chosen, gallery in batch.galleries():
        correct[chosen] = identity_score(y[chosen], _unit(gallery), identities[chosen])
    return correct


def change_mask(x: Tensor, t: Tensor) -> Tensor:
    """M: (n, 1, H, W) bool."""
    return ((x - t).abs() > ONE_LEVEL).any(dim=1, keepdim=True)


def edit_score(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """1 - Σ_M |y - t| / Σ_M |x - t| per image: 1 is perfect, 0 leaves the image unchanged, below 0 makes it worse.

    Returns:
        (n,) float64, NaN where M is empty.
    """
    x, y, t = x.double(), y.double(), t.double()
    mask = change_mask(x, t)
    remaining = ((y - t).abs() * mask).sum(dim=(1, 2, 3))
    requested = ((x - t).abs() * mask).sum(dim=(1, 2, 3))
    return torch.where(requested > 0, 1 - remaining / requested, torch.nan)


def leak_score(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """Mean of |y - t| over the pixels outside M, per image: what changed that should not have.

    Returns:
        (n,) float64 in [0, 1], NaN where M is the entire image.
    """
    outside = ~change_mask(x.double(), t.double())
    total = ((y.double() - t.double()).abs() * outside).sum(dim=(1, 2, 3))
    count = outside.sum(dim=(1, 2, 3)) * x.shape[1]
    return torch.where(count > 0, total / count, torch.nan)


def identity_score(y: Tensor, gallery: Tensor, identities: Tensor) -> Tensor:
    """Whether the correct identity is the nearest in the gallery, by mean squared pixel distance.

    Args:
        gallery: (g, 3, H, W) in [0, 1], every identity rendered with the target labels of ``y``.
        identities: (n,) the correct index into the gallery.
    Returns:
        (n,) float64 of 0 and 1; a tie for the nearest counts as correct.
    """
    # gray levels in float64 make the squares and their sums exact for images that come from uint8
    a, b = y.double().flatten(1) * 255, gallery.double().flatten(1) * 255
    squared = (a**2).sum(1, keepdim=True) + (b**2).sum(1) - 2 * (a @ b.T)
    nearest = squared.min(dim=1).values
    return (squared.gather(1, identities[:, None])[:, 0] <= nearest).double()


def _unit(images: Tensor) -> Tensor:
    """uint8 → float64 in [0, 1]."""
    return images.double() / 255
