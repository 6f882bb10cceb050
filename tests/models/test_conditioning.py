"""Conditional norms, and the U-Net's use of the label."""

import pytest
import torch
from tiny import make_generator
from torch import Tensor, nn

from stargan_lab.models.conditioning import ConditionalNorm
from stargan_lab.registry import family

K = 3


def scene(side: int = 32) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.rand(2, 3, side, side, generator=random, dtype=torch.float64) * 2 - 1


def labels() -> tuple[Tensor, Tensor]:
    return torch.tensor([[1.0, 0, 0]] * 2).double(), torch.tensor([[0.0, 1, 1]] * 2).double()


def difference(network: nn.Module) -> float:
    first, second = labels()
    return (network(scene(), first) - network(scene(), second)).abs().max().item()


def test_a_conditional_norm_by_hand() -> None:
    norm = ConditionalNorm(family("norm").build("instance", 2, False), K, 2).double()
    with torch.no_grad():
        # rows: scale of channels 0 and 1, shift of channels 0 and 1
        norm.affine.weight.copy_(torch.tensor([[0.5, 0, 0], [0, 1, 0], [0, 0, 2], [3, 0, 0]]))
        norm.affine.bias.copy_(torch.tensor([0.0, 1, 0, -1]))
    x = torch.tensor([[[[1.0, 3]], [[0.0, 10]]]]).double()
    unit = 1 / (1 + 1e-5) ** 0.5, 5 / (25 + 1e-5) ** 0.5
    label = torch.tensor([[1.0, 0, 1]]).double()
    expected = [[-1.5 * unit[0] + 2, 1.5 * unit[0] + 2], [-2 * unit[1] + 2, 2 * unit[1] + 2]]
    assert norm(x, label)[0, :, 0].tolist() == [pytest.approx(row) for row in expected]
    no_label = [[-unit[0], unit[0]], [-2 * unit[1] - 1, 2 * unit[1] - 1]]
    assert norm(x, torch.zeros(1, K).double())[0, :, 0].tolist() == [pytest.approx(row) for row in no_label]


@pytest.mark.parametrize("name", family("generator").names())
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_with_adain_the_label_has_an_effect_with_any_padding(name: str, norm: str) -> None:
    network = make_generator(K, name, norm=norm, padding="reflect", conditioning="adain").double()
    assert difference(network) > 1e-3


def test_concatenated_labels_have_an_effect_in_the_unet_with_any_padding() -> None:
    """Its first convolution has no norm that would remove the shift of a plane."""
    assert difference(make_generator(K, "unet", padding="reflect").double()) > 1e-3


def test_with_adain_norms_have_no_other_scale_and_shift() -> None:
    network = make_generator(K, blocks=2, conditioning="adain")
    assert network.main[0].in_channels == 3
    norms = [m for m in network.modules() if isinstance(m, ConditionalNorm)]
    assert len(norms) == 9
    assert all(norm.norm.weight is None and norm.norm.bias is None for norm in norms)


@pytest.mark.parametrize("name", family("generator").names())
def test_adain_changes_the_initial_values_of_the_first_convolution_only(name: str) -> None:
    concat, adain = (make_generator(K, name, conditioning=c) for c in ("concat", "adain"))
    convolutions = [
        [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)] for network in (concat, adain)
    ]
    assert len(convolutions[0]) == len(convolutions[1]) > 4
    for one, other in list(zip(*convolutions, strict=True))[1:]:
        assert torch.equal(one.weight, other.weight)


def test_initial_values_of_adain_do_not_depend_on_the_number_of_blocks() -> None:
    """Indices depend on the number of blocks, roles do not."""
    few, many = (make_generator(K, blocks=n, conditioning="adain") for n in (1, 3))
    assert torch.equal(few.main[-4].affine.weight, many.main[-4].affine.weight)
    maps = [m.affine.weight for m in many.modules() if isinstance(m, ConditionalNorm)]
    assert len({tuple(weight.flatten().tolist()) for weight in maps}) == len(maps) == 11


def test_skip_connections_of_the_unet() -> None:
    """With the decoder's weights at zero, a change of one pixel still has an effect, through the outermost skip."""
    network = make_generator(K, "unet", depth=3, norm="none").double()
    with torch.no_grad():
        for up in network.up:
            up[0].weight.zero_()
    first, _ = labels()
    changed = scene()
    changed[0, :, 9, 9] += 1
    moved = (network(scene(), first) - network(changed, first)).abs().amax((0, 1))
    assert moved[9, 9] > 1e-6
    assert moved[20:, 20:].max() == 0  # the first level is local


def test_the_unets_blocks_are_at_the_bottleneck() -> None:
    plain, deep = (make_generator(K, "unet", depth=3, blocks=n).double() for n in (0, 2))
    shapes: list[torch.Size] = []
    deep.bottleneck[0].register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    deep(scene(), labels()[0])
    assert shapes == [(2, 16, 4, 4)]
    shared = plain.state_dict()
    assert all(torch.equal(value, deep.state_dict()[key]) for key, value in shared.items())


def test_channels_of_the_unets_levels() -> None:
    network = make_generator(K, "unet", width=4, depth=5, blocks=0).double()
    assert [down[0].out_channels for down in network.down] == [4, 8, 16, 32, 32]
    assert [(up[0].in_channels, up[0].out_channels) for up in network.up] == [(32, 32), (64, 16), (32, 8), (16, 4)]
    assert network.last[0].in_channels == 8
    without_norm = [len(down) == 2 and down[0].bias is not None for down in network.down]
    assert without_norm == [True, False, False, False, True]
    assert network(scene(32), labels()[0]).shape == (2, 3, 32, 32)  # a 1x1 bottleneck, with instance norm elsewhere
