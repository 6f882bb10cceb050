"""How well G(G(x, target), own) gives back x, on images as 8-bit files hold them.

Shapes: n images, H W pixels; a value per image.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMALLEST_SSIM = 11
"""Side in pixels of the window of SSIM: smaller images have none."""

BEST_PSNR = 10 * math.log10(12 * 255**2)
"""58.9 dB: the error of rounding to 8 bits alone. An exact image would have infinitely many, and so the mean."""


def reconstruction(x: Tensor, back: Tensor) -> dict[str, Tensor]:
    """L1, PSNR and SSIM of (n, 3, H, W) uint8 images against their reconstructions, as float64.

    - ``reconstruction``: mean |x - back| in [0, 1].
    - ``psnr``: 10 log10(1 / mean (x - back)²) in dB, at most 58.9.
    - ``ssim``: structural similarity with a Gaussian window of σ 1.5 over 11 pixels that lie within the image, mean of
      the channels (Wang et al. 2004), by scikit-image; absent for images smaller than the window.
    """
    a, b = x.double() / 255, back.double() / 255
    found = {"reconstruction": (a - b).abs().flatten(1).mean(1)}
    found["psnr"] = (-10 * ((a - b) ** 2).flatten(1).mean(1).log10()).clamp(max=BEST_PSNR)
    if min(x.shape[2:]) >= SMALLEST_SSIM:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            found["ssim"] = torch.tensor(list(pool.map(_ssim, a.numpy(), b.numpy())), dtype=torch.float64)
    return found


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    from skimage.metrics import structural_similarity

    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=0, **paper))
