"""Layers for networks that are differentiated twice equal torch's, up to the second derivative."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.models import twice
from stargan_lab.models.twice import Conv2d, LeakyReLU, differentiated_once


def networks(**options: int) -> tuple[nn.Module, nn.Module]:
    """Torch's layers, and this project's with the same weights."""
    torch.manual_seed(0)

    def build(conv: type[nn.Conv2d], activation: type[nn.LeakyReLU]) -> nn.Module:
        return nn.Sequential(
            conv(3, 6, 4, 2, 1), activation(0.01), conv(6, 8, 3, bias=False, **options), activation(0.01), conv(8, 1, 3)
        ).double()

    plain, ours = build(nn.Conv2d, nn.LeakyReLU), build(Conv2d, LeakyReLU)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


def images() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def penalized(network: nn.Module, with_values: bool) -> list[Tensor]:
    """Gradients of a gradient penalty, with or without the scores themselves."""
    x = images().requires_grad_()
    scores = network(x)
    (slope,) = torch.autograd.grad(scores.square().sum(), x, create_graph=True)
    loss = (slope.flatten(1).norm(dim=1) - 1).square().mean() + (scores.sum() if with_values else 0)
    return list(torch.autograd.grad(loss, [x, *network.parameters()]))


@pytest.mark.parametrize("with_values", [False, True])
@pytest.mark.parametrize("options", [{}, {"dilation": 2, "padding": 1}, {"groups": 2, "stride": 2}])
def test_first_and_second_derivatives_equal_torchs(with_values: bool, options: dict[str, int]) -> None:
    plain, ours = networks(**options)
    assert torch.equal(plain(images()), ours(images()))
    for expected, found in zip(penalized(plain, with_values), penalized(ours, with_values), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def last_map(conv: type[nn.Conv2d], size: int, kernel: int, stride: int, padding: int) -> list[Tensor]:
    """Output and first and second derivatives of a convolution of a (3, 5, size, size) map."""
    torch.manual_seed(0)
    layer = conv(5, 7, kernel, stride, padding).double()
    x = torch.rand(3, 5, size, size, dtype=torch.float64).requires_grad_()
    output = layer(x)
    (slope,) = torch.autograd.grad(output.pow(3).sum(), x, create_graph=True)
    return [output, slope, *torch.autograd.grad(slope.square().sum() + output.sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(2, 4, 2, 1), (4, 4, 2, 1), (3, 3, 1, 0), (5, 2, 3, 0)]
)
def test_a_matrix_product_takes_the_place_of_a_convolution_with_a_small_output(
    monkeypatch: pytest.MonkeyPatch, size: int, kernel: int, stride: int, padding: int
) -> None:
    expected = last_map(nn.Conv2d, size, kernel, stride, padding)
    monkeypatch.setattr(twice, "PRODUCT_WEIGHTS", 1)
    monkeypatch.setattr(functional, "conv2d", None)  # not called
    for found, right in zip(last_map(Conv2d, size, kernel, stride, padding), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-11, atol=1e-12)


def test_a_matrix_product_keeps_its_precision_in_the_autocast_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The penalty's gradient is computed in the generator's autocast, also for a discriminator in float32."""
    monkeypatch.setattr(twice, "PRODUCT_WEIGHTS", 1)
    layer = Conv2d(5, 7, 4, 2, 1)
    x = torch.rand(3, 5, 2, 2).requires_grad_()
    (exact,) = torch.autograd.grad(functional.conv2d(x, layer.weight, layer.bias, 2, 1).sum(), x)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.autocast("cpu", enabled=False):
            output = layer(x).sum()
        (slope,) = torch.autograd.grad(output, x)
    torch.testing.assert_close(slope, exact, rtol=1e-6, atol=1e-6)


def test_the_weights_own_gradient_can_be_differentiated() -> None:
    """Not what a penalty needs, but what ``create_graph`` promises."""
    results = []
    for network in networks():
        (slope,) = torch.autograd.grad(network(images()).square().sum(), network[0].weight, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), list(network.parameters())))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("shape", [(3, 16, 16), (0, 3, 16, 16)], ids=["no batch", "empty batch"])
def test_unusual_batches_are_left_to_torch(shape: tuple[int, ...]) -> None:
    results = []
    for network in networks():
        x = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
        scores = network(x)
        results.append([scores, *torch.autograd.grad(scores.square().sum(), [x, *network.parameters()])])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_functional_derivatives_equal_torchs() -> None:
    results = []
    for network in networks():

        def loss(parameters: dict[str, Tensor], x: Tensor, network: nn.Module = network) -> Tensor:
            return torch.func.functional_call(network, parameters, (x,)).square().sum()

        def penalty(parameters: dict[str, Tensor], x: Tensor, loss: Callable[..., Tensor] = loss) -> Tensor:
            return torch.func.grad(loss, argnums=1)(parameters, x).square().sum()

        found = [torch.func.grad(each)(dict(network.named_parameters()), images()) for each in (loss, penalty)]
        results.append([gradient for gradients in found for gradient in gradients.values()])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-9)


def test_only_wanted_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = []
    right = twice._convolution_backward
    monkeypatch.setattr(twice, "_convolution_backward", lambda *args: needed.append(args[-1]) or right(*args))
    _, ours = networks()
    x = images().requires_grad_()
    (slope,) = torch.autograd.grad(ours(x).sum(), x, create_graph=True)
    assert needed == [(True, False, False)] * 3
    needed.clear()
    slope.square().sum().backward()
    assert needed == [(False, True, False)] * 3  # nothing is carried back through the first pass
    needed.clear()
    ours(images()).sum().backward()
    assert needed == [(True, True, True), (True, True, False), (False, True, True)]


def test_half_precision_equals_torchs() -> None:
    plain, ours = (network.float() for network in networks())
    results = []
    for network in (plain, ours):
        network.zero_grad()
        x = images().float().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(x)
            (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        assert scores.dtype == torch.bfloat16 and slope.dtype == torch.float32
        (slope.square().sum() + scores.float().sum()).backward()
        results.append([scores, slope, *(p.grad for p in network.parameters())])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def nodes(output: Tensor) -> set[str]:
    """Names of all nodes of the autograd graph."""
    found, left = set(), [output.grad_fn]
    while left:
        if (node := left.pop()) is not None:
            found.add(node.name())
            left += [source for source, _ in node.next_functions]
    return found


@pytest.mark.parametrize("with_values", [False, True])
def test_layers_are_torchs_where_one_derivative_is_enough(with_values: bool) -> None:
    plain, ours = networks()

    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = ours

        def forward(self, x: Tensor) -> Tensor:
            with differentiated_once():
                scores: Tensor = self.network(x)
            return scores

    assert nodes(Once()(images())) == nodes(plain(images()))
    assert not nodes(ours(images())) & {"ConvolutionBackward0", "LeakyReluBackward0"}  # afterwards
    for expected, found in zip(penalized(plain, with_values), penalized(Once(), with_values), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_a_convolution_with_many_weights_remains_a_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twice, "PRODUCT_WEIGHTS", 1)
    with differentiated_once():
        assert "_ConvolutionBackward" in nodes(Conv2d(3, 4, 4, 2, 1)(torch.rand(2, 3, 4, 4)))
