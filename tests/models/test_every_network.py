"""Every registered network with every option: shapes, gradients, two training steps, saving and loading."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from tiny import FACES, ONE, make_batch, make_critic, make_generator, make_objective, make_train_state
from torch import nn

from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step

SIZE = 32
K = len(FACES.names)
GENERATOR_CASES: list[dict[str, Any]] = [
    {},
    {"affine": True},
    {"affine": False},
    {"blocks": 0},
    {"blocks": 3},
    {"depth": 2},
    {"depth": 4},
    {"conditioning": "adain", "norm": "none"},
    {"norm": "group", "norm_options": {"groups": 2}},
    {"inplace": False},
]
CRITIC_CASES: list[dict[str, Any]] = [
    *({"norm": norm, "depth": 3, "head": "global"} for norm in family("discriminator_norm").names()),
    {"depth": 1, "norm": "instance"},
    {"depth": 4, "bias": False, "head": "global", "head_bias": True},
    {"depth": 2, "bias": (0,)},
    {"depth": 3, "bias": (1, 2), "head_bias": True},
    {"depth": 4, "bias": (0, -1)},
    {"norm": "instance", "norm_affine": False},
    {"norm": "group", "norm_options": {"groups": 4}},
]


def cases(role: str, options: list[dict[str, Any]]) -> Iterator[Any]:
    """Each network with each of the ``options`` that it has, and with every component that its options refer to."""
    for name in family(role).names():
        known = family(role).options(name)
        referring = [
            {option: entry}
            for option, referenced in family(role).references(name).items()
            for entry in family(referenced).names()
        ]
        for case in [case for case in options if set(case) <= set(known)] + referring:
            yield pytest.param(name, case, id=" ".join([name, *(f"{k}={v}" for k, v in case.items())]))


def finite_gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    gradients = {}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        gradients[name] = parameter.grad
    return gradients


@pytest.mark.parametrize(("name", "options"), list(cases("generator", GENERATOR_CASES)))
def test_generator(name: str, options: dict[str, Any]) -> None:
    network, other = (make_generator(K, name, seed, **options) for seed in (0, 1))
    batch = make_batch(ONE, size=SIZE)
    images = network(batch.images, batch.labels)
    assert images.shape == batch.images.shape
    assert images.abs().max() <= 1
    (images * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    finite_gradients(network)
    height, width = network.size_multiple, 3 * network.size_multiple
    if options.get("norm", "instance") == "instance":
        height, width = 2 * height, 2 * width  # instance norm needs more than one pixel
    assert network(torch.zeros(2, 3, height, width), batch.labels[:2]).shape == (2, 3, height, width)
    assert not torch.equal(other(batch.images, batch.labels), images)
    other.load_state_dict(deepcopy(network.state_dict()))
    assert torch.equal(other(batch.images, batch.labels), images)
    train_two_steps(network, make_critic(K, size=SIZE))


def test_all_weights_of_the_references_networks_have_a_gradient() -> None:
    batch = make_batch(ONE, size=SIZE)
    random = torch.Generator().manual_seed(0)
    generator, critic = make_generator(K), make_critic(K, size=SIZE, depth=3)
    images = generator(batch.images, batch.labels)
    (images * torch.randn(images.shape, generator=random)).sum().backward()
    sum((output * torch.randn(output.shape, generator=random)).sum() for output in critic(batch.images)).backward()
    for network in (generator, critic):
        for parameter, gradient in finite_gradients(network).items():
            assert gradient.abs().max() > 1e-4, parameter


@pytest.mark.parametrize(("name", "options"), list(cases("discriminator", CRITIC_CASES)))
def test_critic(name: str, options: dict[str, Any]) -> None:
    depth = options.get("depth", 2)
    network, other = (make_critic(K, name, seed, SIZE, **options) for seed in (0, 1))
    images = make_batch(ONE, size=SIZE).images
    scores, logits = network(images)
    side = {"patch": SIZE // 2**depth, "global": 1}.get(options.get("head", "patch"), scores.shape[-1])
    assert scores.shape == (4, 1, side, side)
    assert logits.shape == (4, K)
    (scores.square().mean() + logits.square().mean()).backward()
    finite_gradients(network)
    biased = options.get("bias", True)
    layers = set(range(depth)) if biased is True else {layer % depth for layer in biased or ()}
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m not in (network.conv1, network.conv2)]
    assert {index for index, conv in enumerate(convs) if conv.bias is not None} == layers
    for head in (network.conv1, network.conv2):
        assert (head.bias is not None) == options.get("head_bias", False)
    assert not torch.equal(other(images)[1], logits)
    other.load_state_dict(deepcopy(network.state_dict()))
    assert all(map(torch.equal, other(images), (scores, logits)))
    train_two_steps(make_generator(K), network)


def train_two_steps(generator: nn.Module, critic: nn.Module) -> None:
    before = [deepcopy(network.state_dict()) for network in (generator, critic)]
    train_state, objective = make_train_state(ONE, generator=generator, critic=critic), make_objective(ONE)
    for step in (1, 2):
        batch = make_batch(ONE, step, size=SIZE)
        parts = train_step(train_state, objective, batch, step_randomness(0, step, 4, 1), update_generator=True)
        assert {"d_real", "g_fake"} <= set(parts)
        assert all(part.isfinite() and part.ndim == 0 for part in parts.values())
    for network, start in zip((generator, critic), before, strict=True):
        finite_gradients(network)
        weights = dict(network.named_parameters())
        assert all(value.isfinite().all() for value in weights.values())
        unchanged = [k for k, v in weights.items() if torch.equal(v, start[k]) and v.grad is not None and v.grad.any()]
        assert unchanged == []


@pytest.mark.parametrize(("size", "depth", "side"), [(20, 3, 2), (16, 4, 1)])
def test_map_sizes_are_rounded_down(size: int, depth: int, side: int) -> None:
    scores, logits = make_critic(K, size=size, depth=depth)(torch.zeros(2, 3, size, size))
    assert scores.shape == (2, 1, side, side)
    assert logits.shape == (2, K)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 5, "size": 16}, "depth 5 needs images of at least 32 px, got 16"),
        ({"depth": 2, "bias": (0, 2)}, "bias contains layer 2, but depth 2 has layers 0 to 1"),
        ({"depth": 2, "bias": (0, -3)}, "bias contains layer -3, but depth 2 has layers 0 to 1"),
    ],
)
def test_a_critic_that_cannot_be_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_critic(K, **options)
