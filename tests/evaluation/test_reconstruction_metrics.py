import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor
from torch.nn import functional as F

from stargan_lab.evaluation.reconstruction import BEST_PSNR, reconstruction


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (3, 3, 24, 31), generator=generator)
    noise = torch.randint(-20, 21, x.shape, generator=generator)
    return x.to(torch.uint8), (x + noise).clamp(0, 255).to(torch.uint8)


def test_by_hand() -> None:
    x = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    found = reconstruction(x, x + 51)  # a fifth of 255
    assert found["reconstruction"].item() == pytest.approx(0.2)
    assert found["psnr"].item() == pytest.approx(10 * math.log10(25))
    assert "ssim" not in found  # 4 pixels hold no window of 11


def test_psnr_is_scikit_images(pair: tuple[Tensor, Tensor]) -> None:
    x, back = pair
    expected = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=255) for a, b in zip(x, back, strict=True)]
    assert reconstruction(x, back)["psnr"].tolist() == pytest.approx(expected)


def test_ssim_is_the_papers(pair: tuple[Tensor, Tensor]) -> None:
    x, y = (images.double().reshape(9, 1, 24, 31) / 255 for images in pair)
    distance = torch.arange(-5, 6, dtype=torch.float64)
    window = torch.exp(-((distance / 1.5) ** 2) / 2)
    window = (window[:, None] * window / window.sum() ** 2)[None, None]
    mean_x, mean_y = F.conv2d(x, window), F.conv2d(y, window)
    var_x, var_y = F.conv2d(x * x, window) - mean_x**2, F.conv2d(y * y, window) - mean_y**2
    cov = F.conv2d(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    assert reconstruction(*pair)["ssim"].tolist() == pytest.approx(ssim.reshape(3, -1).mean(1).tolist(), abs=1e-6)


def test_an_exact_image_has_a_finite_psnr(pair: tuple[Tensor, Tensor]) -> None:
    found = reconstruction(pair[0], pair[0])
    assert found["psnr"].tolist() == [BEST_PSNR] * 3 and found["ssim"].tolist() == [1.0] * 3
    assert found["reconstruction"].tolist() == [0.0] * 3
