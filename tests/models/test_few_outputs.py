"""A convolution that is split in two on the CPU equals torch's, with all derivatives."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.models.few_outputs import Conv2d
from stargan_lab.models.generators import GENERATORS

Layer = type[nn.Conv2d]


def measured(layer: Layer, dtype: torch.dtype = torch.float64, **options: Any) -> list[Tensor]:
    """Output, first and second derivatives of a layer with the same weights and images for every type of layer."""
    torch.manual_seed(0)
    conv = layer(5, 3, **options).to(dtype)
    x = torch.rand(2, 5, 12, 10).to(dtype).requires_grad_()
    output = conv(x)
    (slope,) = torch.autograd.grad(output.pow(3).sum(), x, create_graph=True)
    return [output, slope, *torch.autograd.grad(slope.square().sum() + output.sum(), [x, *conv.parameters()])]


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize(("kernel", "padding"), [(7, 3), (5, 0), ((5, 7), (1, 3))])
def test_values_and_derivatives_equal_torchs(mode: str, kernel: Any, padding: Any) -> None:
    options = {"kernel_size": kernel, "padding": padding, "padding_mode": mode}
    found_all = measured(Conv2d, **options)
    assert found_all[0].is_contiguous()
    for expected, found in zip(measured(nn.Conv2d, **options), found_all, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_the_kernel_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the comparison above compares torch with itself."""
    kernels, convolution = [], functional.conv2d

    def noted(x: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
        kernels.append(tuple(weight.shape))
        return convolution(x, weight, *rest, **options)

    monkeypatch.setattr(functional, "conv2d", noted)
    measured(Conv2d, kernel_size=7, padding=3)
    assert kernels == [(21, 5, 7, 1), (3, 21, 1, 7)]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_layer_before_gets_a_gradient_in_the_format_of_its_output(memory_format: torch.memory_format) -> None:
    x = torch.rand(2, 5, 12, 10, requires_grad=True)
    before = x.contiguous(memory_format=memory_format) * 2
    gradients: list[Tensor] = []
    before.register_hook(gradients.append)
    Conv2d(5, 3, 7, 1, 3)(before).square().sum().backward()
    assert gradients[0].is_contiguous(memory_format=memory_format)


def test_one_image_without_a_batch() -> None:
    torch.manual_seed(0)
    conv, image = Conv2d(5, 3, 7, 1, 3), torch.rand(5, 12, 10)
    torch.testing.assert_close(conv(image), conv(image[None])[0])


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 7, "stride": 2},
        {"kernel_size": 7, "padding": "same"},
        {"kernel_size": 5, "dilation": 2, "padding": 1},
        {"kernel_size": 3, "padding": 1},
    ],
)
def test_other_options_are_torchs_to_the_bit(options: dict[str, Any]) -> None:
    for expected, found in zip(measured(nn.Conv2d, **options), measured(Conv2d, **options), strict=True):
        assert torch.equal(found, expected)


def test_autocast_gives_its_type() -> None:
    torch.manual_seed(0)
    plain, ours = nn.Conv2d(8, 3, 7, 1, 3, bias=False), Conv2d(8, 3, 7, 1, 3, bias=False)
    ours.load_state_dict(plain.state_dict())
    x = torch.rand(2, 8, 12, 12)
    exact = plain(x)
    with torch.autocast("cpu", torch.bfloat16):
        theirs, found = plain(x), ours(x)
    assert found.dtype == theirs.dtype == torch.bfloat16
    assert (found - exact).norm() <= 2 * (theirs - exact).norm()


def test_the_last_layer_of_the_reference_generator_is_split_and_keeps_its_key() -> None:
    generator = GENERATORS.build("resnet", 5, width=8, blocks=0)
    names = [name for name, module in generator.named_modules() if getattr(module, "_splits", False)]
    assert names == ["main.15"]
    assert generator.state_dict()["main.15.weight"].shape == (3, 8, 7, 7)
