"""Images against their reconstructions G(G(x, target), source), both as uint8. Shapes: n images, H W pixels."""

import math
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.registry import family

SSIM_WINDOW = 11
"""Side of the window of SSIM in pixels; smaller images have no SSIM."""

_SSIM_VALUES = 1 << 15
"""Values per call of scikit-image. With more, its filters take longer per value; with fewer, its Python code does."""

BEST_PSNR = 10 * math.log10(12 * 255**2)
"""58.9 dB, the PSNR of rounding to 8 bits. Without a limit, an exact image would make the mean infinite."""

image_metric = family("image_metric")


@image_metric.register("reconstruction", source="Choi et al. 2018, equation 4", direction="lower", decimals=4)
def reconstruction(batch: ImageBatch) -> Tensor:
    """Mean |x - G(G(x, target), source)| in [0, 1]."""
    return _difference(batch).abs().flatten(1).mean(1)


@image_metric.register("psnr", source="this project", direction="higher", unit="dB", decimals=2, main=False)
def psnr(batch: ImageBatch) -> Tensor:
    """Peak signal-to-noise ratio of G(G(x, target), source).

    10 log10(1 / mean squared error), at most 58.9 dB.
    """
    return (-10 * (_difference(batch) ** 2).flatten(1).mean(1).log10()).clamp(max=BEST_PSNR)


@image_metric.register(
    "ssim",
    source="Wang et al. 2004",
    direction="higher",
    decimals=3,
    main=False,
    needs=f"images of at least {SSIM_WINDOW} pixels per side",
)
def ssim(batch: ImageBatch) -> Tensor | None:
    """Structural similarity of x and G(G(x, target), source).

    Computed by scikit-image with a Gaussian window (σ 1.5, 11 pixels), averaged over channels and over the positions at
    which the window lies within the image.
    """
    if min(batch.x.shape[2:]) < SSIM_WINDOW:
        return None
    a, b = ((images.double() / 255).flatten(0, 1) for images in (batch.x, batch.reconstruction))
    threads = torch.get_num_threads()
    group = max(1, min(_SSIM_VALUES // a.shape[1:].numel(), len(a) // threads))
    with ThreadPoolExecutor(threads) as pool:
        of_channels = torch.cat(list(pool.map(_ssim, a.split(group), b.split(group))))
    return of_channels.view(len(batch.x), -1).mean(1)


def _difference(batch: ImageBatch) -> Tensor:
    return batch.x.double() / 255 - batch.reconstruction.double() / 255


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """(n,) SSIM of the channels (n, H, W) in [0, 1].

    They are stacked into one tall image, for which scikit-image computes SSIM at each pixel. A window that lies within
    a channel contains nothing of the others, so there the values are those of the channel.
    """
    from skimage.metrics import structural_similarity

    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    tall = [channels.reshape(-1, channels.shape[-1]).numpy() for channels in (a, b)]
    everywhere = structural_similarity(*tall, data_range=1.0, full=True, **paper)[1]
    edge = SSIM_WINDOW // 2
    return torch.from_numpy(everywhere.reshape(a.shape)[:, edge:-edge, edge:-edge].mean((1, 2)))
