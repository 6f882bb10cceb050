"""Norms use the statistics of what they are given, in training and in evaluation alike."""

from copy import deepcopy

import pytest
import torch
from tiny import make_critic, make_generator
from torch import nn

from stargan_lab.models.norms import InstanceNorm
from stargan_lab.registry import family

NORMS = [(group, name) for group in ("norm", "critic_norm") for name in family(group).names()]


def pictures(n: int = 3, channels: int = 8, side: int = 6) -> torch.Tensor:
    random = torch.Generator().manual_seed(5)
    scale = torch.rand(1, channels, 1, 1, generator=random, dtype=torch.float64) * 4
    return torch.randn(n, channels, side, side, generator=random, dtype=torch.float64) * scale + scale


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("group", "name"), NORMS)
def test_training_and_evaluation_are_alike_and_buffers_are_never_written(group: str, name: str, affine: bool) -> None:
    norm = family(group).build(name, 8, affine).double()
    before = deepcopy(dict(norm.named_buffers()))
    images = pictures()
    with torch.no_grad():
        trained = [norm.train()(images) for _ in range(3)]
        evaluated = norm.eval()(images)
    assert all(torch.equal(one, evaluated) for one in trained)
    for key, value in norm.named_buffers():
        assert torch.equal(value, before[key]), key


def test_a_generators_buffers_are_never_written() -> None:
    network = make_generator(3, blocks=2)
    images, labels = torch.rand(2, 3, 16, 16) * 2 - 1, torch.eye(3)[:2]
    buffers = {key: value.clone() for key, value in network.named_buffers()}
    assert len(buffers) == 3 * 9
    trained = network(images, labels)
    trained.sum().backward()
    assert torch.equal(network.eval()(images, labels), trained)
    for key, value in network.named_buffers():
        assert torch.equal(value, buffers[key]), key
        assert torch.equal(value, torch.ones_like(value) if key.endswith("var") else torch.zeros_like(value)), key


@pytest.mark.parametrize(("name", "dims"), [("instance", (2, 3)), ("layer", (1, 2, 3))])
@pytest.mark.parametrize("group", ["norm", "critic_norm"])
def test_by_hand(group: str, name: str, dims: tuple[int, ...]) -> None:
    images = pictures()
    norm = family(group).build(name, 8, True).double()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 8))
        norm.bias.copy_(torch.linspace(-1, 1, 8))
    mean, variance = images.mean(dims, keepdim=True), images.var(dims, correction=0, keepdim=True)
    expected = (images - mean) / (variance + 1e-5).sqrt()
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(images), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["instance", "layer"])
def test_affine_is_the_only_thing_to_learn(name: str) -> None:
    for group in ("norm", "critic_norm"):
        shapes = {key: tuple(p.shape) for key, p in family(group).build(name, 8, True).named_parameters()}
        assert shapes == {"weight": (8,), "bias": (8,)}
        assert list(family(group).build(name, 8, False).parameters()) == []


@pytest.mark.parametrize("group", ["norm", "critic_norm"])
def test_none_changes_nothing(group: str) -> None:
    assert torch.equal(family(group).build("none", 8, True)(pictures()), pictures())


def test_instance_norm_of_a_single_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="1x1"):
        InstanceNorm(4)(torch.ones(2, 4, 1, 1))
    with pytest.raises(ValueError, match="1x1"):
        make_critic(3, size=16, depth=4, norm="instance")(torch.ones(2, 3, 16, 16))


@pytest.mark.parametrize("name", ["instance", "layer", "none"])
def test_a_sample_does_not_see_the_others(name: str) -> None:
    """The penalty is per sample: what couples samples would change its meaning."""
    norm = family("critic_norm").build(name, 8, True).double()
    images = pictures()
    torch.testing.assert_close(norm(images)[:1], norm(images[:1]), rtol=1e-13, atol=1e-13)


def test_every_stride_2_convolution_but_the_first_has_the_norm() -> None:
    network = make_critic(3, size=32, depth=4, norm="layer")
    kinds = [type(module) for module in network.main]
    conv, norm, slope = nn.Conv2d, nn.GroupNorm, nn.LeakyReLU
    assert kinds == [conv, slope] + 3 * [conv, norm, slope]
    assert all(module.negative_slope == 0.01 for module in network.main if isinstance(module, slope))
