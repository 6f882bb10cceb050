"""Parameters, FLOPs and receptive fields of small networks against values computed by hand."""

import pytest
import torch
from tiny import make_critic
from torch import Tensor, nn

from stargan_lab.runs.network_measures import (
    FlopCounter,
    Span,
    graph_of,
    measured_field,
    receptive_field,
    seen_region,
    shapes_only,
    trainable,
)


def field_of(network: nn.Module, size: int = 64) -> int | None:
    images = torch.empty(1, 3, size, size, device="meta", requires_grad=True)
    output = shapes_only(network)(images)
    return receptive_field(graph_of(output[0] if isinstance(output, tuple) else output), images)


class Sum(nn.Module):
    """The sum of several layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self.layers]).sum(0)


def test_trainable_parameters() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1, bias=False))  # 3·8·9 + 8, 8·2
    assert trainable(network) == 224 + 16
    network[1].requires_grad_(False)
    assert trainable(network) == 224


def test_flops_of_one_convolution() -> None:
    forward = 2 * (3 * 9) * (2 * 8 * 5 * 5)  # a multiply-add per weight of each output; N = 2, 8 channels, 5x5
    conv = shapes_only(nn.Conv2d(3, 8, 3, stride=2, padding=1))
    images = torch.empty(2, 3, 10, 10, device="meta", requires_grad=True)
    with FlopCounter() as flops:
        output = conv(images)
        assert flops.total == forward
        output.sum().backward()
        assert flops.total == 3 * forward  # the gradients of the images and of the weights


# four-pixel kernels of stride 2: 3·2^depth − 2; a patch score adds 2 steps of 2^depth, a global one 64 / 2^depth − 1
@pytest.mark.parametrize(
    ("depth", "patch", "whole"),
    [(1, 8, 66), (2, 18, 70), (3, 38, 78), (4, 78, 94), (5, 158, 126), (6, 318, 190)],
)
def test_receptive_field_of_a_patchgan(depth: int, patch: int, whole: int) -> None:
    assert field_of(make_critic(3, size=64, width=1, depth=depth)) == patch
    assert field_of(make_critic(3, size=64, width=1, depth=depth, norm="spectral")) == patch
    assert field_of(make_critic(3, size=64, width=1, depth=depth, head="global")) == whole


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (nn.Conv2d(3, 1, 1), 1),
        (nn.Conv2d(3, 1, 3, dilation=4), 9),
        (nn.Conv2d(3, 1, (1, 5)), 5),
        # 1x5 -> pooling 2x10 -> 5 px kernels 6x14
        (nn.Sequential(nn.Conv2d(3, 4, 3, dilation=2), nn.AvgPool2d(2), nn.Conv2d(4, 1, (1, 5))), 14),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2), nn.Conv2d(4, 1, 2)), 7),  # 2 -> 5 -> 7
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 1, 4, 2)), 4),  # 4 px kernels, stride 2: 2 inputs
        (Sum(nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(3, 1, 7, padding=3)), 7),
    ],
)
def test_receptive_field_of_other_layers(network: nn.Module, side: int) -> None:
    assert field_of(network) == side


@pytest.mark.parametrize(
    ("network", "rows", "columns"),
    [
        (nn.Conv2d(3, 1, 3, padding=1, padding_mode="reflect"), (4, 6), (4, 6)),
        (nn.Sequential(nn.ZeroPad2d((1, 0, 3, 0)), nn.Conv2d(3, 1, 3)), (2, 4), (4, 6)),
        (nn.MaxPool2d(3, 2, 1), (9, 11), (9, 11)),
        (nn.ConvTranspose2d(3, 1, 4, 2, 1), (2, 3), (2, 3)),  # output 5 is input 2 by weight 2, input 3 by weight 0
        (nn.Sequential(nn.Conv2d(3, 1, 3, 2, 1), nn.Conv2d(1, 1, (1, 3), 1, (0, 1))), (9, 11), (7, 13)),
        (Sum(nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(3, 1, 3, padding=2, dilation=2)), (3, 7), (3, 7)),
    ],
)
def test_rows_and_columns_that_output_5_sees(network: nn.Module, rows: Span, columns: Span) -> None:
    images = torch.empty(1, 3, 32, 32, device="meta", requires_grad=True)
    assert seen_region(graph_of(shapes_only(network)(images)), images, 5) == (rows, columns)
    values = torch.rand(1, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(values)[0, 0, 5, 5], values)
    for axis, (first, last) in ((1, rows), (0, columns)):
        seen = (gradient[0].abs().amax(0).amax(axis) > 0).nonzero().flatten()
        assert first <= int(seen[0]) and int(seen[-1]) <= last


def test_an_output_that_does_not_depend_on_the_images_has_no_receptive_field() -> None:
    images = torch.empty(1, 3, 8, 8, device="meta", requires_grad=True)
    bias = torch.empty(1, device="meta", requires_grad=True)
    assert receptive_field(graph_of(bias * 2), images) is None


@pytest.mark.parametrize(
    ("norm", "side"), [("none", 18), ("spectral", 18), ("instance", 64), ("layer", 64), ("group", 64), ("batch", 64)]
)
def test_norms_over_the_map_make_a_score_depend_on_the_whole_image(norm: str, side: int) -> None:
    assert measured_field(make_critic(3, size=64, norm=norm), 64) == side


def test_the_border_of_the_image_limits_the_measured_field() -> None:
    """The 18 px of score 2 of 0 to 3, which are 4 px apart, are 1 to 18, and the image ends at 15."""
    assert measured_field(make_critic(3, size=16), 16) == 15
