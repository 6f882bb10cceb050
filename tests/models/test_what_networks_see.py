"""Receptive fields, and how the label acts, measured by gradients."""

import pytest
import torch
from tiny import make_critic, make_generator
from torch import Tensor

from stargan_lab.models.discriminators import receptive_field
from stargan_lab.registry import family

K = 3


def scene(n: int = 2, size: int = 32) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 - 1


def labels(n: int = 2) -> tuple[Tensor, Tensor]:
    first = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.float64)[:n]
    return first, 1 - first


@pytest.mark.parametrize(("depth", "pixels"), [(1, 8), (2, 18), (3, 38), (4, 78), (5, 158), (6, 318)])
def test_a_patch_score_sees_exactly_its_receptive_field(depth: int, pixels: int) -> None:
    size = 2 ** (depth + 3)
    network = make_critic(K, size=size, depth=depth, width=1).double()
    images = scene(1, size).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[0][0, 0, 4, 4], images)
    seen = gradient.abs().amax((0, 1)) > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    assert receptive_field(depth) == pixels == 5 * 2**depth - 2
    assert len(rows) == len(columns) == pixels
    assert rows[-1] - rows[0] + 1 == pixels  # no gap, and away from the border
    assert rows[0] > 0 and rows[-1] < size - 1


def test_a_global_score_sees_the_whole_image() -> None:
    network = make_critic(K, size=32, depth=2, head="global").double()
    images = scene(1).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[0].sum(), images)
    assert (gradient.abs().amax((0, 1)) > 0).all()


def test_the_centre_taps_of_the_label_have_no_gradient() -> None:
    """A constant plane shifts a channel, which instance norm removes: the label acts through the zero border alone."""
    network = make_generator(K, width=8, blocks=2).double()
    output = network(scene(), labels()[0])
    (
        output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).sum().backward()
    gradient = network.main[0].weight.grad.abs()
    assert gradient[:, 3:, 3, 3].max() < 1e-11
    assert gradient[:, 3:, 0, 0].min() > 1e-6
    assert gradient[:, :3, 3, 3].min() > 1e-6


@pytest.mark.parametrize("padding", [name for name in family("padding").names() if name != "zero"])
def test_without_zeros_at_the_border_the_generator_is_deaf(padding: str) -> None:
    first, second = labels()
    deaf = make_generator(K, width=8, blocks=2, padding=padding).double()
    torch.testing.assert_close(deaf(scene(), first), deaf(scene(), second), rtol=0, atol=1e-11)
    assert (deaf(scene(), first) - deaf(scene().flip(-1), first)).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["instance", "layer", "none"])
def test_with_zero_padding_it_hears(norm: str) -> None:
    first, second = labels()
    network = make_generator(K, width=8, blocks=2, norm=norm).double()
    assert (network(scene(), first) - network(scene(), second)).abs().max() > 1e-3


def test_without_instance_norm_the_padding_may_be_any() -> None:
    first, second = labels()
    network = make_generator(K, width=8, blocks=2, norm="none", padding="reflect").double()
    assert (network(scene(), first) - network(scene(), second)).abs().max() > 1e-3


def test_the_sigmoid_output_equals_a_tanh_of_half_the_input() -> None:
    x = torch.linspace(-30, 30, 1001, dtype=torch.float64)
    torch.testing.assert_close(family("output").build("sigmoid")(x), torch.tanh(x / 2), rtol=0, atol=1e-15)
    first, _ = labels()
    sigmoid, tanh = (make_generator(K, output=output).double() for output in ("sigmoid", "tanh"))
    with torch.no_grad():
        assert (sigmoid(scene(), first) - tanh(scene(), first)).abs().max() > 1e-3
        tanh.main[-2].weight /= 2
        torch.testing.assert_close(sigmoid(scene(), first), tanh(scene(), first), rtol=0, atol=1e-14)


def test_concat_puts_planes_behind_the_image() -> None:
    condition = family("conditioning").build("concat", K)
    images, first = scene(), labels()[0]
    joined = condition.inputs(images, first)
    assert condition.input_channels == 3 + K
    assert joined.shape == (2, 3 + K, 32, 32)
    assert torch.equal(joined[:, :3], images)
    for n in range(2):
        for k in range(K):
            assert (joined[n, 3 + k] == first[n, k]).all()


def test_relu_in_place_or_not_gives_the_same() -> None:
    first, _ = labels()
    one, other = (make_generator(K, blocks=2, inplace=inplace).double() for inplace in (True, False))
    outputs = [network(scene(), first) for network in (one, other)]
    for output in outputs:
        output.square().sum().backward()
    assert torch.equal(*outputs)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
