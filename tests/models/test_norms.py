"""Norms use the statistics of their input, in training and evaluation."""

from copy import deepcopy

import pytest
import torch
from tiny import ONE, make_batch, make_critic, make_generator, make_objective, make_train_state
from torch import nn

from stargan_lab.models.norms import InstanceNorm, SpectralConv2d, norm_refusal
from stargan_lab.models.twice import Conv2d, LeakyReLU
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step

NORMS = [
    (group, name)
    for group in ("norm", "discriminator_norm")
    for name in family(group).names()
    if not any(family(group).has(name, trait) for trait in ("absent", "of_weights"))  # these add no layer
]


def make_images(n: int = 3, channels: int = 8, side: int = 6) -> torch.Tensor:
    random = torch.Generator().manual_seed(5)
    scale = torch.rand(1, channels, 1, 1, generator=random, dtype=torch.float64) * 4
    return torch.randn(n, channels, side, side, generator=random, dtype=torch.float64) * scale + scale


@pytest.mark.parametrize(("group", "name"), NORMS)
def test_evaluation_equals_training_and_buffers_are_not_updated(group: str, name: str) -> None:
    norm = family(group).build(name, 8, True).double()
    before = deepcopy(dict(norm.named_buffers()))
    images = make_images()
    with torch.no_grad():
        trained = [norm.train()(images) for _ in range(3)]
        evaluated = norm.eval()(images)
    assert all(torch.equal(one, evaluated) for one in trained)
    for key, value in norm.named_buffers():
        assert torch.equal(value, before[key]), key


def test_a_generators_buffers_are_not_updated() -> None:
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
        ("discriminator_norm", "instance", (2, 3)),
        ("discriminator_norm", "layer", (1, 2, 3)),
        ("discriminator_norm", "batch", (0, 2, 3)),
    ],
)
def test_by_hand(group: str, name: str, dims: tuple[int, ...]) -> None:
    images = make_images()
    norm = family(group).build(name, 8, True).double()
    assert list(family(group).build(name, 8, False).parameters()) == []
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 8))
        norm.bias.copy_(torch.linspace(-1, 1, 8))
    mean, variance = images.mean(dims, keepdim=True), images.var(dims, correction=0, keepdim=True)
    expected = (images - mean) / (variance + 1e-5).sqrt()
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(images), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("channels", "options", "groups"),
    [(64, {}, 4), (6, {}, 3), (5, {}, 1), (64, {"groups": 8}, 8), (8, {"groups": None}, 1)],
)
def test_group_norm_by_hand(channels: int, options: dict[str, int | None], groups: int) -> None:
    images = make_images(channels=channels)
    grouped = images.unflatten(1, (groups, -1))
    mean, variance = grouped.mean((2, 3, 4), True), grouped.var((2, 3, 4), correction=0, keepdim=True)
    expected = ((grouped - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
    norm = family("norm").build("group", channels, False, **options)
    torch.testing.assert_close(norm(images), expected, rtol=1e-12, atol=1e-12)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="groups=3 does not divide 8 channels"):
        family("norm").build("group", 8, True, groups=3)
    options = {"norm": "group", "norm_options": {"groups": 3}}
    assert norm_refusal("norm", options, 8) == "norm_options: groups=3 does not divide 8 channels"
    assert norm_refusal("norm", options, 9) is None


def largest_singular_value(conv: nn.Conv2d) -> float:
    return torch.linalg.svdvals(conv.weight.detach().flatten(1)).max().item()


def update_sigma(network: nn.Module, times: int) -> None:
    for module in network.modules():
        for _ in range(times if isinstance(module, SpectralConv2d) else 0):
            module.update_sigma()


def spectral_critic() -> nn.Module:
    return make_critic(3, size=16, depth=2, norm="spectral", head_bias=True).double()


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    critic, images = spectral_critic(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    update_sigma(critic, 400)
    convolutions = [m for m in critic.modules() if isinstance(m, SpectralConv2d)]
    assert len(convolutions) == 3  # two convolutions and the score's head; the label's head is unchanged
    assert type(critic.conv2) is nn.Conv2d
    plain = make_critic(3, size=16, depth=2, norm="none", head_bias=True).double()
    with torch.no_grad():
        for module in (plain.main[0], plain.main[2], plain.conv1):
            module.weight /= largest_singular_value(module)
    for ours, expected in zip(critic(images), plain(images), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_spectral_norm_and_its_gradient_equal_torchs() -> None:
    ours = SpectralConv2d(3, 5, 4, 2, 1).double()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    theirs = nn.Conv2d(3, 5, 4, 2, 1).double()
    theirs.load_state_dict({key: value for key, value in ours.state_dict().items() if key != "u"})
    torch.nn.utils.parametrizations.spectral_norm(theirs)
    for _ in range(2000):
        theirs(images)  # torch updates its estimate in every forward pass
        ours.update_sigma()
    for network in (ours, theirs):
        network(images).square().sum().backward()
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.weight.grad, theirs.parametrizations.weight.original.grad, rtol=1e-7, atol=1e-9)


def test_the_initial_sigma_is_accurate() -> None:
    """After fifteen power iterations, the Lipschitz bound nearly holds from the first step on."""
    for seed in range(3):
        critic = make_critic(3, size=16, depth=2, norm="spectral", seed=seed)
        for conv in (m for m in critic.modules() if isinstance(m, SpectralConv2d)):
            right = nn.functional.normalize(conv.weight.flatten(1).mT @ conv.u, dim=0)
            estimate = (conv.u @ (conv.weight.flatten(1) @ right)).item()
            assert 0.95 * largest_singular_value(conv) <= estimate <= largest_singular_value(conv) * (1 + 1e-5)


def test_sigma_changes_only_with_updates_of_the_weights() -> None:
    critic, images = spectral_critic(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    start = {key: value.clone() for key, value in critic.named_buffers()}
    assert set(start) == {"main.0.u", "main.2.u", "conv1.u"}
    first = critic(images)
    assert all(map(torch.equal, first, critic(images)))
    assert all(torch.equal(value, start[key]) for key, value in critic.named_buffers())
    again = spectral_critic()
    assert all(torch.equal(value, start[key]) for key, value in again.named_buffers())  # depends only on the seed
    train_state = make_train_state(ONE, critic=make_critic(3, norm="spectral"))
    before = {key: value.clone() for key, value in train_state.critic.named_buffers()}
    train_step(train_state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), update_generator=True)
    changed = {key for key, value in train_state.critic.named_buffers() if not torch.equal(value, before[key])}
    assert changed == {"main.0.u", "main.2.u"}  # with a single output, u is constant


def test_spectral_norm_can_be_differentiated_twice() -> None:
    critic, images = spectral_critic(), torch.rand(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(images)[0].sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert critic.main[0].weight.grad.abs().max() > 0


def test_only_batch_norm_couples_samples() -> None:
    """The penalty is per sample, which coupled samples would contradict."""
    images, norms = make_images(), family("discriminator_norm")
    for name in norms.names():
        norm = norms.build(name, 8, True).double()
        difference = (norm(images)[:1] - norm(images[:1])).abs().max()
        assert norms.has(name, "couples_samples") == (name == "batch")
        assert difference > 1e-2 if name == "batch" else difference < 1e-12, name


def test_none_is_the_identity() -> None:
    assert torch.equal(family("discriminator_norm").build("none", 8, True)(make_images()), make_images())


def test_instance_norm_raises_on_a_single_pixel() -> None:
    with pytest.raises(ValueError, match="1x1"):
        InstanceNorm(4)(torch.ones(2, 4, 1, 1))
    with pytest.raises(ValueError, match="1x1"):
        make_critic(3, size=16, depth=4, norm="instance")(torch.ones(2, 3, 16, 16))


def test_all_stride_2_convolutions_except_the_first_have_a_norm() -> None:
    network = make_critic(3, size=32, depth=4, norm="layer")
    kinds = [type(module) for module in network.main]
    conv, norm, slope = Conv2d, nn.GroupNorm, LeakyReLU
    assert kinds == [conv, slope] + 3 * [conv, norm, slope]
    assert all(module.negative_slope == 0.01 for module in network.main if isinstance(module, slope))
