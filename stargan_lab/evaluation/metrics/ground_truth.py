"""Scores against the exact ground truth, which a synthetic dataset has for every image and every target.

Shapes: n images, g identities in the gallery, H W pixels. x is an input, y its translation, t the ground truth (the
same face rendered with the target labels), all (n, 3, H, W) in [0, 1]. M is the mask of pixels that should
change, at which x and t differ by more than one gray level in some channel.
"""

from collections.abc import Callable

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
    traits=("cross", "zero_for_inputs"),
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


@image_metric.register(
    "identity", source="this project", direction="higher", decimals=3, main=False, uses=("ground_truth",)
)
def identity(batch: ImageBatch) -> Tensor | None:
    """Share of outputs whose nearest identity is the correct one."""
    return _score_identities(batch, identity_score)


@image_metric.register("identity_rank", source="this project", direction="higher", decimals=3, uses=("ground_truth",))
def identity_rank(batch: ImageBatch) -> Tensor | None:
    """Share of the other identities that are farther from the output than the correct one; 0.5 is chance."""
    return _score_identities(batch, identity_rank_score)


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


def gallery_distances(y: Tensor, gallery: Tensor) -> Tensor:
    """Squared pixel distances, exact for images that come from uint8, so that ties are ties.

    Args:
        y: (n, 3, H, W) in [0, 1].
        gallery: (g, 3, H, W) in [0, 1], every identity rendered with the target labels of ``y``.
    Returns:
        (n, g) float64, in squared gray levels summed over pixels and channels.
    """
    # gray levels in float64 make the squares and their sums exact
    a, b = y.double().flatten(1) * 255, gallery.double().flatten(1) * 255
    return (a**2).sum(1, keepdim=True) + (b**2).sum(1) - 2 * (a @ b.T)


def identity_score(distances: Tensor, identities: Tensor) -> Tensor:
    """Whether the correct identity is the nearest in the gallery.

    Args:
        distances: (n, g), see ``gallery_distances``.
        identities: (n,) the correct index into the gallery.
    Returns:
        (n,) float64 of 0 and 1; a tie for the nearest counts as correct.
    """
    return (_correct(distances, identities) <= distances.min(dim=1, keepdim=True).values)[:, 0].double()


def identity_rank_score(distances: Tensor, identities: Tensor) -> Tensor:
    """Share of the g - 1 other identities that are farther away than the correct one; a tie counts half.

    A random ranking and an output at equal distance from all identities both have an expected value of 0.5.

    Args:
        distances, identities: as in ``identity_score``.
    Returns:
        (n,) float64 in [0, 1], 1 if the correct identity alone is the nearest; NaN if the gallery has no other.
    """
    correct = _correct(distances, identities)
    farther = (distances > correct).double().sum(1)
    tied = (distances == correct).double().sum(1) - 1  # without the correct identity itself
    return (farther + tied / 2) / (distances.shape[1] - 1)


def _correct(distances: Tensor, identities: Tensor) -> Tensor:
    """(n, 1): the distance to the correct identity."""
    return distances.gather(1, identities[:, None])


def _score_identities(batch: ImageBatch, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor | None:
    """(n,) float64, NaN for images beyond the gallery; None for a dataset without ground truth."""
    if batch.ground_truth is None:
        return None
    scores = torch.full((len(batch.y),), torch.nan, dtype=torch.float64)
    identities = torch.arange(batch.indices.start, batch.indices.stop)
    for chosen, distances in batch.once(_batch_distances):
        scores[chosen] = score(distances, identities[chosen])
    return scores


def _batch_distances(batch: ImageBatch) -> list[tuple[Tensor, Tensor]]:
    """Positions in the batch that share a gallery, and their (len(positions), g) distances to it."""
    y = _unit(batch.y)
    return [(chosen, gallery_distances(y[chosen], _unit(gallery))) for chosen, gallery in batch.galleries()]


def _unit(images: Tensor) -> Tensor:
    """uint8 → float64 in [0, 1]."""
    return images.double() / 255
