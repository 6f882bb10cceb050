"""Initial values: torch's default distributions; changing one layer leaves the others bit-equal."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import make_critic, make_generator
from torch import Tensor, nn

from stargan_lab.models.initialize import initialize
from stargan_lab.registry import family

K = 5
LINEAR = (nn.Conv2d, nn.ConvTranspose2d)


def convolutions(network: nn.Module) -> list[tuple[str, nn.Conv2d | nn.ConvTranspose2d]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, LINEAR)]


def bound(layer: nn.Conv2d | nn.ConvTranspose2d) -> float:
    """torch's default: uniform within 1 / sqrt(fan in), where a transposed convolution's fan in is out · k · k."""
    return 1 / math.sqrt(layer.weight[0].numel())


def generator_weights(network: nn.Module, blocks: int) -> dict[str, Tensor]:
    """Weights of the convolutions by role, at the reference's indices."""
    state = network.state_dict()
    indices = {"first": 0, "down 1": 3, "down 2": 6, "up 1": 9 + blocks, "up 2": 12 + blocks, "last": 15 + blocks}
    weights = {name: state[f"main.{index}.weight"] for name, index in indices.items()}
    return weights | {
        f"block {b}.{i}": state[f"main.{9 + b}.main.{3 * i}.weight"] for b in range(blocks) for i in (0, 1)
    }


def assert_equal_where_shared(first: dict[str, Tensor], second: dict[str, Tensor]) -> int:
    shared = [key for key in first if key in second and first[key].shape == second[key].shape]
    for key in shared:
        assert torch.equal(first[key], second[key]), key
    return len(shared)


@pytest.mark.parametrize(
    "network",
    [make_generator(K, width=32, blocks=2), make_critic(K, size=32, width=32, depth=3, head_bias=True)],
    ids=["generator", "critic"],
)
def test_weights_have_torchs_default_distribution(network: nn.Module) -> None:
    biases = []
    for name, layer in convolutions(network):
        limit, values = bound(layer), layer.weight.detach().double().flatten()
        n = len(values)
        assert n >= 1000, name
        assert values.abs().max() <= limit * (1 + 1e-6), name
        assert values.abs().max() > limit * (1 - 12 / n), name
        assert abs(values.mean()) < 5 * limit / math.sqrt(3 * n), name
        assert abs(values.square().mean() / (limit**2 / 3) - 1) < 5 * math.sqrt(0.8 / n), name
        quarters = torch.histc(values / limit, 4, -1, 1) / n
        assert (quarters - 0.25).abs().max() < 5 * math.sqrt(0.1875 / n), name
        if layer.bias is not None:
            assert layer.bias.abs().max() <= limit * (1 + 1e-6), name
            biases.append(layer.bias.detach().double() / limit)
    for module in network.modules():
        if hasattr(module, "running_mean"):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
    if biases:
        shares = torch.cat(biases)
        assert len(shares) > 200
        assert shares.abs().max() > 0.97
        assert abs(shares.square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / len(shares))
        assert abs(shares.mean()) < 5 / math.sqrt(3 * len(shares))


def test_a_transposed_convolution_has_torchs_bound() -> None:
    """4C to 2C channels: within 1 / sqrt(2C · 16), which is wider than 1 / sqrt(4C · 16)."""
    weight = make_generator(K, width=16, blocks=0).state_dict()["main.9.weight"]
    assert weight.shape == nn.ConvTranspose2d(64, 32, 4).weight.shape
    assert weight.abs().max().item() == pytest.approx(1 / math.sqrt(32 * 16), rel=1e-3)


@pytest.mark.parametrize("make", [make_generator, make_critic])
def test_initial_values_depend_only_on_the_seed(make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(99)
    first = make(K, seed=3)
    torch.manual_seed(7)
    second, other = make(K, seed=3), dict(convolutions(make(K, seed=4)))
    assert assert_equal_where_shared(first.state_dict(), second.state_dict()) == len(first.state_dict())
    for name, layer in convolutions(second):
        assert not (other[name].weight == layer.weight).any(), name


def test_generator_and_critic_have_different_initial_values() -> None:
    """Even for layers of the same shape and role."""
    layers = [nn.Sequential(nn.Conv2d(3, 4, 4)) for _ in range(3)]
    for layer, prefix in zip(layers, ("generator", "critic", "generator"), strict=True):
        initialize(layer, 0, prefix)
    weights = [layer[0].weight for layer in layers]
    assert torch.equal(weights[0], weights[2])
    assert not (weights[0] == weights[1]).any()


def test_the_global_random_state_is_unchanged() -> None:
    network = family("generator").build("resnet", K, width=4, blocks=1)
    state = torch.get_rng_state()
    initialize(network, 0, "generator")
    assert torch.equal(torch.get_rng_state(), state)


def test_all_layers_have_different_initial_values() -> None:
    generator = generator_weights(make_generator(K, blocks=4), 4)
    blocks = [weight for name, weight in generator.items() if name.startswith("block")]
    assert len(blocks) == 8
    assert len({weight.numpy().tobytes() for weight in blocks}) == 8
    layer = make_critic(K, width=16).main[0]  # bias and weight differ too
    assert not torch.isin(layer.bias, layer.weight).any()


def test_a_critics_norm_does_not_change_other_initial_values() -> None:
    plain = make_critic(K, size=32, depth=3).state_dict()
    for norm in family("discriminator_norm").names():
        assert assert_equal_where_shared(plain, make_critic(K, size=32, depth=3, norm=norm).state_dict()) == len(plain)


@pytest.mark.parametrize("bias", [False, (1, 2)])
def test_a_critics_bias_does_not_change_other_initial_values(bias: Any) -> None:
    full, less = (make_critic(K, size=32, depth=3, bias=b).state_dict() for b in (True, bias))
    assert set(less) < set(full)
    assert assert_equal_where_shared(less, full) == len(less)


def test_a_critics_depth_and_heads_do_not_change_other_initial_values() -> None:
    base = make_critic(K, size=32, depth=2).state_dict()
    assert assert_equal_where_shared(base, make_critic(K, size=32, depth=4).state_dict()) >= 4
    heads = make_critic(K, size=32, depth=2, head="global", head_bias=True).state_dict()
    assert assert_equal_where_shared(base, heads) == len(base) - 1
    assert heads["conv1.weight"].shape != base["conv1.weight"].shape


@pytest.mark.parametrize("blocks", [0, 5])
def test_the_number_of_blocks_does_not_change_other_initial_values(blocks: int) -> None:
    base = generator_weights(make_generator(K, blocks=2), 2)
    other = generator_weights(make_generator(K, blocks=blocks), blocks)
    assert assert_equal_where_shared(base, other) == 6 + 2 * min(2, blocks)


@pytest.mark.parametrize("options", [{"norm": "none"}, {"norm": "group"}, {"affine": False}])
def test_a_generators_norm_does_not_change_other_initial_values(options: dict[str, Any]) -> None:
    base, other = make_generator(K).state_dict(), make_generator(K, **options).state_dict()
    kernels = [key for key, value in base.items() if value.ndim == 4]
    assert len(kernels) == 8
    assert assert_equal_where_shared({key: base[key] for key in kernels}, other) == 8


def test_options_without_weights_do_not_change_initial_values() -> None:
    options: dict[str, Any] = {"output": "sigmoid", "padding": "reflect", "inplace": False}
    base, other = make_generator(K).state_dict(), make_generator(K, **options).state_dict()
    assert assert_equal_where_shared(base, other) == len(base) == len(other)
