"""Receptive fields and the effect of the label, measured by gradients."""

import pytest
import torch
from tiny import make_critic, make_generator
from torch import Tensor

from stargan_lab.registry import family

K = 3


def scene(n: int = 2, size: int = 32) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 - 1


def labels(n: int = 2) -> tuple[Tensor, Tensor]:
    first = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.float64)[:n]
    return first, 1 - first


@pytest.mark.parametrize(("depth", "pixels"), [(1, 8), (3, 38), (6, 318)])
def test_the_receptive_field_of_a_patch_score(depth: int, pixels: int) -> None:
    size = 2 ** (depth + 3)
    network = make_critic(K, size=size, depth=depth, width=1).double()
    images = scene(1, size).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[0][0, 0, 4, 4], images)
    affects = gradient.abs().amax((0, 1)) > 0
    rows, columns = affects.any(1).nonzero().flatten(), affects.any(0).nonzero().flatten()
    assert pixels == 5 * 2**depth - 2
    assert len(rows) == len(columns) == pixels
    assert rows[-1] - rows[0] + 1 == pixels  # no gap, and away from the border
    assert rows[0] > 0 and rows[-1] < size - 1


def test_a_global_score_depends_on_every_pixel() -> None:
    network = make_critic(K, size=32, depth=2, head="global").double()
    images = scene(1).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[0].sum(), images)
    assert (gradient.abs().amax((0, 1)) > 0).all()


def test_center_taps_of_label_planes_have_no_gradient() -> None:
    """Instance norm removes the shift of a constant plane: the label acts only through the zero padding."""
    network = make_generator(K, width=8, blocks=2).double()
    output = network(scene(), labels()[0])
    (
        output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).sum().backward()
    gradient = network.main[0].weight.grad.abs()
    assert gradient[:, 3:, 3, 3].max() < 1e-11
    assert gradient[:, 3:, 0, 0].min() > 1e-6
    assert gradient[:, :3, 3, 3].min() > 1e-6


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_the_label_has_no_effect_without_zero_padding(padding: str) -> None:
    first, second = labels()
    network = make_generator(K, width=8, blocks=2, padding=padding).double()
    torch.testing.assert_close(network(scene(), first), network(scene(), second), rtol=0, atol=1e-11)
    assert (network(scene(), first) - network(scene().flip(-1), first)).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_the_label_has_an_effect_with_zero_padding(norm: str) -> None:
    first, second = labels()
    network = make_generator(K, width=8, blocks=2, norm=norm).double()
    assert (network(scene(), first) - network(scene(), second)).abs().max() > 1e-3


def test_the_label_has_an_effect_with_any_padding_without_instance_norm() -> None:
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


def test_concat_appends_planes_to_the_image() -> None:
    condition = family("conditioning").build("concat", K)
    images, first = scene(), labels()[0]
    joined = condition.inputs(images, first)
    assert condition.input_channels == 3 + K
    assert joined.shape == (2, 3 + K, 32, 32)
    assert torch.equal(joined[:, :3], images)
    for n in range(2):
        for k in range(K):
            assert (joined[n, 3 + k] == first[n, k]).all()


def test_inplace_changes_neither_outputs_nor_gradients() -> None:
    first, _ = labels()
    one, other = (make_generator(K, blocks=2, inplace=inplace).double() for inplace in (True, False))
    outputs = [network(scene(), first) for network in (one, other)]
    for output in outputs:
        output.square().sum().backward()
    assert torch.equal(*outputs)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
