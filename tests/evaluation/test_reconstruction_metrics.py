import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.nn import functional as F

from stargan_lab.evaluation.metrics.reconstruction import BEST_PSNR, psnr, reconstruction, ssim


def batch(x: Tensor, back: Tensor) -> Any:
    return SimpleNamespace(x=x, reconstruction=back)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (3, 3, 24, 31), generator=generator)
    noise = torch.randint(-20, 21, x.shape, generator=generator)
    return x.to(torch.uint8), (x + noise).clamp(0, 255).to(torch.uint8)


def test_by_hand() -> None:
    x = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    both = batch(x, x + 51)  # a fifth of 255
    assert reconstruction(both).item() == pytest.approx(0.2)
    assert psnr(both).item() == pytest.approx(10 * math.log10(25))
    assert ssim(both) is None  # 4 pixels are smaller than the window


def test_psnr_equals_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    expected = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=255) for a, b in zip(*pair, strict=True)]
    assert psnr(batch(*pair)).tolist() == pytest.approx(expected)


def test_ssim_follows_the_paper(pair: tuple[Tensor, Tensor]) -> None:
    x, y = (images.double().reshape(9, 1, 24, 31) / 255 for images in pair)
    distance = torch.arange(-5, 6, dtype=torch.float64)
    window = torch.exp(-((distance / 1.5) ** 2) / 2)
    window = (window[:, None] * window / window.sum() ** 2)[None, None]
    mean_x, mean_y = F.conv2d(x, window), F.conv2d(y, window)
    var_x, var_y = F.conv2d(x * x, window) - mean_x**2, F.conv2d(y * y, window) - mean_y**2
    cov = F.conv2d(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    result = ssim(batch(*pair))
    assert result is not None
    assert result.tolist() == pytest.approx(expected.reshape(3, -1).mean(1).tolist(), abs=1e-6)


@pytest.mark.parametrize(("count", "height", "width"), [(100, 11, 12), (31, 24, 19), (2, 230, 190)])
def test_ssim_of_many_images_is_that_of_each(count: int, height: int, width: int) -> None:
    """Channels are measured several at a time: 100 and 31 images have more than one call takes, and no multiple of it;
    a channel of the last images is larger than what one call takes otherwise.
    """
    generator = torch.Generator().manual_seed(0)
    x, back = torch.randint(0, 256, (2, count, 3, height, width), generator=generator, dtype=torch.uint8)
    back[:, :, ::2] = x[:, :, ::2]
    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pairs = zip(x.double().numpy() / 255, back.double().numpy() / 255, strict=True)
    expected = [structural_similarity(a, b, data_range=1.0, channel_axis=0, **paper) for a, b in pairs]
    result = ssim(batch(x, back))
    assert result is not None and result.tolist() == pytest.approx(expected, rel=0, abs=1e-14)


def test_an_exact_reconstruction_has_a_finite_psnr(pair: tuple[Tensor, Tensor]) -> None:
    exact = batch(pair[0], pair[0])
    result = ssim(exact)
    assert psnr(exact).tolist() == [BEST_PSNR] * 3 and reconstruction(exact).tolist() == [0.0] * 3
    assert result is not None and result.tolist() == [1.0] * 3
