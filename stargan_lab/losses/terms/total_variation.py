"""Smoothness of translated images."""

from torch import Tensor

from stargan_lab.losses.step import Network, Step
from stargan_lab.registry import family


@family("loss_term").register("total_variation", source="Rudin et al. 1992, anisotropic form")
class TotalVariation:
    """Generator: mean absolute difference of neighboring pixels of translated images, vertical plus horizontal."""

    network: Network = "generator"

    def __call__(self, step: Step) -> Tensor:
        images = step.fake
        vertical = images[..., 1:, :] - images[..., :-1, :]
        horizontal = images[..., :, 1:] - images[..., :, :-1]
        return vertical.abs().mean() + horizontal.abs().mean()
