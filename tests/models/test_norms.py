"""Norms use the statistics of what they are given, in training and in evaluation alike."""

from copy import deepcopy

import pytest
import torch
from tiny import ONE, make_batch, make_critic, make_generator, make_objective, make_train_state
from torch import nn

from stargan_lab.models.norms import InstanceNorm, SpectralConv2d
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step

NORMS = [
    (group, name)
    for group in ("norm", "critic_norm")
    for name in family(group).names()
    if not any(family(group).has(name, trait) for trait in ("absent", "of_weights"))  # no layer of their own
]


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


@pytest.mark.parametrize(
    ("group", "name", "dims"),
    [
        ("norm", "instance", (2, 3)),
        ("norm", "layer", (1, 2, 3)),
        ("critic_norm", "instance", (2, 3)),
        ("critic_norm", "layer", (1, 2, 3)),
        ("critic_norm", "batch", (0, 2, 3)),
    ],
)
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


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (64, 4), (48, 3), (6, 3), (5, 1)])
def test_group_norm_by_hand(channels: int, groups: int) -> None:
    images = pictures(channels=channels)
    parted = images.unflatten(1, (groups, -1))
    mean, variance = (
        f(parted) for f in (lambda t: t.mean((2, 3, 4), True), lambda t: t.var((2, 3, 4), correction=0, keepdim=True))
    )
    expected = ((parted - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
    torch.testing.assert_close(family("norm").build("group", channels, False)(images), expected, rtol=1e-12, atol=1e-12)


def largest_singular_value(conv: nn.Conv2d) -> float:
    return torch.linalg.svdvals(conv.weight.detach().flatten(1)).max().item()


def update_sigma(network: nn.Module, times: int) -> None:
    for module in network.modules():
        for _ in range(times if isinstance(module, SpectralConv2d) else 0):
            module.update_sigma()


def spectral_critic() -> nn.Module:
    return make_critic(3, size=16, depth=2, norm="spectral", head_bias=True).double()


def test_spectral_norm_brings_the_largest_singular_value_to_one() -> None:
    critic, images = spectral_critic(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    update_sigma(critic, 400)
    convolutions = [m for m in critic.modules() if isinstance(m, SpectralConv2d)]
    assert len(convolutions) == 3  # two in the trunk and the score's head; the label's head is free
    assert type(critic.conv2) is nn.Conv2d
    plain = make_critic(3, size=16, depth=2, norm="none", head_bias=True).double()
    with torch.no_grad():
        for module in (plain.main[0], plain.main[2], plain.conv1):
            module.weight /= largest_singular_value(module)
    for ours, expected in zip(critic(images), plain(images), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_spectral_norm_and_its_gradient_are_those_of_torchs() -> None:
    ours = SpectralConv2d(3, 5, 4, 2, 1).double()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    theirs = nn.Conv2d(3, 5, 4, 2, 1).double()
    theirs.load_state_dict({key: value for key, value in ours.state_dict().items() if key != "u"})
    torch.nn.utils.parametrizations.spectral_norm(theirs)
    for _ in range(2000):
        theirs(images)  # torch's improves its estimate with every pass
        ours.update_sigma()
    for network in (ours, theirs):
        network(images).square().sum().backward()
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.weight.grad, theirs.parametrizations.weight.original.grad, rtol=1e-7, atol=1e-9)


def test_spectral_norm_starts_near_the_truth() -> None:
    """Fifteen power iterations at the start: the slope's bound holds from the first step on, nearly."""
    for seed in range(5):
        critic = make_critic(3, size=16, depth=2, norm="spectral", seed=seed)
        for conv in (m for m in critic.modules() if isinstance(m, SpectralConv2d)):
            right = nn.functional.normalize(conv.weight.flatten(1).mT @ conv.u, dim=0)
            estimate = (conv.u @ (conv.weight.flatten(1) @ right)).item()
            assert 0.95 * largest_singular_value(conv) <= estimate <= largest_singular_value(conv) * (1 + 1e-5)


def test_a_step_is_attribute_classifierd_by_one_critic_and_its_estimate_moves_with_each_update() -> None:
    critic, images = spectral_critic(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    start = {key: value.clone() for key, value in critic.named_buffers()}
    assert set(start) == {"main.0.u", "main.2.u", "conv1.u"}
    first = critic(images)
    assert all(map(torch.equal, first, critic(images)))
    assert all(torch.equal(value, start[key]) for key, value in critic.named_buffers())
    again = spectral_critic()
    assert all(torch.equal(value, start[key]) for key, value in again.named_buffers())  # drawn from the seed alone
    train_state = make_train_state(ONE, critic=make_critic(3, norm="spectral"))
    before = {key: value.clone() for key, value in train_state.critic.named_buffers()}
    train_step(train_state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), update_generator=True)
    moved = {key for key, value in train_state.critic.named_buffers() if not torch.equal(value, before[key])}
    assert moved == {"main.0.u", "main.2.u"}  # a single output has nothing to estimate


def test_spectral_norm_differentiates_twice() -> None:
    critic, images = spectral_critic(), torch.rand(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(images)[0].sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert critic.main[0].weight.grad.abs().max() > 0


def test_batch_norm_couples_samples_and_says_so() -> None:
    norm, images = family("critic_norm").build("batch", 8, True).double(), pictures()
    assert (norm(images)[:1] - norm(images[:1])).abs().max() > 1e-2
    coupled = [name for name in family("critic_norm").names() if family("critic_norm").has(name, "couples_samples")]
    assert coupled == ["batch"]


@pytest.mark.parametrize("name", ["instance", "layer", "group"])
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


@pytest.mark.parametrize(
    "name", [n for n in family("critic_norm").names() if not family("critic_norm").has(n, "couples_samples")]
)
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
