"""Every registered network under every option: shapes, gradients, two training steps, saving and loading."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from tiny import FACES, ONE, make_batch, make_critic, make_generator, make_objective, make_train_state
from torch import nn

from stargan_lab.config.schema import REFERENCES
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step

SIZE = 32
K = len(FACES.names)
AFFINE_AND_MORE: list[dict[str, Any]] = [
    {},
    {"affine": True},
    {"affine": False},
    {"blocks": 0},
    {"blocks": 3},
    {"depth": 2},
    {"depth": 4},
    {"conditioning": "adain", "norm": "none"},
    {"inplace": False},
]


def generator_cases() -> Iterator[Any]:
    """Each generator at its defaults, then with one option changed at a time."""
    for name in family("generator").names():
        known = family("generator").options(name)
        cases = [case for case in AFFINE_AND_MORE if set(case) <= set(known)]
        for option, referred in REFERENCES["generator"].items():
            if option in known:
                cases += [{option: entry} for entry in family(referred).names()]
        for case in cases:
            yield pytest.param(name, case, id=" ".join([name, *(f"{k}={v}" for k, v in case.items())]))


def critic_cases() -> Iterator[Any]:
    """Each critic with every norm, depth and head; the biases take turns."""
    for name in family("discriminator").names():
        index = 0
        for norm in family("critic_norm").names():
            for depth in (1, 2, 3, 4):
                for head in family("head").names():
                    bias = (True, False, (0,), (depth - 1,), tuple(range(depth)))[index % 5]
                    case = {"norm": norm, "depth": depth, "head": head, "bias": bias, "head_bias": index % 3 == 0}
                    index += 1
                    yield pytest.param(name, case, id=" ".join([name, *(f"{k}={v}" for k, v in case.items())]))
        yield pytest.param(name, {"norm": "instance", "norm_affine": False}, id=f"{name} norm_affine=False")


GENERATORS = list(generator_cases())
CRITICS = list(critic_cases())


def finite_gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    gradients = {}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        gradients[name] = parameter.grad
    return gradients


@pytest.mark.parametrize(("name", "options"), GENERATORS)
def test_generator(name: str, options: dict[str, Any]) -> None:
    network = make_generator(K, name, **options)
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


def test_every_weight_of_the_references_networks_has_a_gradient() -> None:
    batch = make_batch(ONE, size=SIZE)
    random = torch.Generator().manual_seed(0)
    generator, critic = make_generator(K), make_critic(K, size=SIZE, depth=3)
    images = generator(batch.images, batch.labels)
    (images * torch.randn(images.shape, generator=random)).sum().backward()
    sum((output * torch.randn(output.shape, generator=random)).sum() for output in critic(batch.images)).backward()
    for network in (generator, critic):
        for parameter, gradient in finite_gradients(network).items():
            assert gradient.abs().max() > 1e-4, parameter


@pytest.mark.parametrize(("name", "options"), CRITICS)
def test_critic(name: str, options: dict[str, Any]) -> None:
    depth = options.get("depth", 2)
    network = make_critic(K, name, size=SIZE, **options)
    batch = make_batch(ONE, size=SIZE)
    scores, logits = network(batch.images)
    side = {"patch": SIZE // 2**depth, "global": 1}.get(options.get("head", "patch"), scores.shape[-1])
    assert scores.shape == (4, 1, side, side)
    assert logits.shape == (4, K)
    (scores.square().mean() + logits.square().mean()).backward()
    finite_gradients(network)
    biased = options.get("bias", True)
    layers = set(range(depth)) if biased is True else set(biased or ())
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m not in (network.conv1, network.conv2)]
    assert {index for index, conv in enumerate(convs) if conv.bias is not None} == layers
    for head in (network.conv1, network.conv2):
        assert (head.bias is not None) == options.get("head_bias", False)


@pytest.mark.parametrize(("name", "options"), GENERATORS)
def test_two_steps_with_generator(name: str, options: dict[str, Any]) -> None:
    two_steps(make_generator(K, name, **options), make_critic(K, size=SIZE))


@pytest.mark.parametrize(("name", "options"), CRITICS)
def test_two_steps_with_critic(name: str, options: dict[str, Any]) -> None:
    two_steps(make_generator(K), make_critic(K, name, size=SIZE, **options))


def two_steps(generator: nn.Module, critic: nn.Module) -> None:
    before = [deepcopy(network.state_dict()) for network in (generator, critic)]
    train_state, objective = make_train_state(ONE, generator=generator, critic=critic), make_objective(ONE)
    for step in (1, 2):
        batch = make_batch(ONE, step, size=SIZE)
        parts = train_step(train_state, objective, batch, step_randomness(0, step, 4, 1), update_generator=True)
        assert set(parts) == {"d_real", "d_fake", "d_cls", "d_gp", "g_fake", "g_rec", "g_cls"}
        assert all(part.isfinite() and part.ndim == 0 for part in parts.values())
    for network, start in zip((generator, critic), before, strict=True):
        finite_gradients(network)
        weights = dict(network.named_parameters())
        assert all(value.isfinite().all() for value in weights.values())
        still = [k for k, v in weights.items() if torch.equal(v, start[k]) and v.grad is not None and v.grad.any()]
        assert still == []


@pytest.mark.parametrize(("name", "options"), GENERATORS)
def test_generator_state_round_trip(name: str, options: dict[str, Any]) -> None:
    batch = make_batch(ONE, size=SIZE)
    first, second = (make_generator(K, name, seed, **options) for seed in (0, 1))
    assert not torch.equal(first(batch.images, batch.labels), second(batch.images, batch.labels))
    second.load_state_dict(deepcopy(first.state_dict()))
    assert torch.equal(first(batch.images, batch.labels), second(batch.images, batch.labels))


@pytest.mark.parametrize(("name", "options"), CRITICS)
def test_critic_state_round_trip(name: str, options: dict[str, Any]) -> None:
    images = make_batch(ONE, size=SIZE).images
    first, second = (make_critic(K, name, seed, SIZE, **options) for seed in (0, 1))
    assert not torch.equal(first(images)[1], second(images)[1])
    second.load_state_dict(deepcopy(first.state_dict()))
    assert all(map(torch.equal, first(images), second(images)))


@pytest.mark.parametrize(("size", "depth", "side"), [(20, 3, 2), (36, 2, 9), (28, 3, 3), (16, 4, 1)])
def test_odd_sizes_are_rounded_down(size: int, depth: int, side: int) -> None:
    scores, logits = make_critic(K, size=size, depth=depth)(torch.zeros(2, 3, size, size))
    assert scores.shape == (2, 1, side, side)
    assert logits.shape == (2, K)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 5, "size": 16}, "depth 5 needs images of at least 32 px, got 16"),
        ({"depth": 2, "bias": (0, 2)}, "bias names layer 2, but depth 2 has layers 0 to 1"),
    ],
)
def test_a_critic_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_critic(K, **options)
