"""With the defaults, state dicts have the reference's keys and shapes, so checkpoints are interchangeable."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stargan_lab.registry import family

REFERENCE = Path(__file__).parents[1] / "reference"
Shapes = dict[str, tuple[int, ...]]


def norm_keys(place: str, channels: int) -> Shapes:
    keys: Shapes = {f"{place}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")}
    return keys | {f"{place}.num_batches_tracked": ()}


def generator_keys(c: int, k: int, r: int) -> Shapes:
    """yunjey/stargan's Generator(c, k, r), in its order."""
    keys: Shapes = {"main.0.weight": (c, 3 + k, 7, 7)} | norm_keys("main.1", c)
    for place, width in ((3, c), (6, 2 * c)):
        keys |= {f"main.{place}.weight": (2 * width, width, 4, 4)} | norm_keys(f"main.{place + 1}", 2 * width)
    for block in range(9, 9 + r):
        for place in (0, 3):
            keys[f"main.{block}.main.{place}.weight"] = (4 * c, 4 * c, 3, 3)
            keys |= norm_keys(f"main.{block}.main.{place + 1}", 4 * c)
    for place, width in ((9 + r, 4 * c), (12 + r, 2 * c)):
        keys |= {f"main.{place}.weight": (width, width // 2, 4, 4)} | norm_keys(f"main.{place + 1}", width // 2)
    return keys | {f"main.{15 + r}.weight": (3, c, 7, 7)}


def critic_keys(s: int, c: int, k: int, layers: int) -> Shapes:
    """yunjey/stargan's Discriminator(s, c, k, layers), in its order."""
    keys: Shapes = {}
    before, after = 3, c
    for layer in range(layers):
        keys |= {f"main.{2 * layer}.weight": (after, before, 4, 4), f"main.{2 * layer}.bias": (after,)}
        before, after = after, 2 * after
    side = s // 2**layers
    return keys | {"conv1.weight": (1, before, 3, 3), "conv2.weight": (k, before, side, side)}


def shapes(network: nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_generator_at_the_defaults() -> None:
    with torch.device("meta"):
        network = family("generator").build("resnet", 5)
    assert shapes(network) == generator_keys(64, 5, 6)
    assert list(shapes(network)) == list(generator_keys(64, 5, 6))
    assert (len(shapes(network)), size(network)) == (103, 8_430_528)


@pytest.mark.parametrize(("image_size", "parameters"), [(128, 44_762_048), (256, 44_884_928)])
def test_critic_at_the_defaults(image_size: int, parameters: int) -> None:
    with torch.device("meta"):
        network = family("discriminator").build("patchgan", 5, image_size)
    assert shapes(network) == critic_keys(image_size, 64, 5, 6)
    assert list(shapes(network)) == list(critic_keys(image_size, 64, 5, 6))
    assert (len(shapes(network)), size(network)) == (14, parameters)


@pytest.mark.parametrize(("run", "g_width", "d_width"), [("single", 5, 5), ("multi", 3 + 4 + 2, 3 + 4)])
def test_small_networks_have_the_references_keys_in_its_order(run: str, g_width: int, d_width: int) -> None:
    golden = np.load(REFERENCE / "golden_small.npz")
    described = json.loads((REFERENCE / "golden_small.json").read_text())["runs"][run]
    networks = {
        "G": family("generator").build("resnet", g_width, width=4, blocks=2),
        "D": family("discriminator").build("patchgan", d_width, 32, width=4, depth=3),
    }
    for name, network in networks.items():
        prefix = f"{run}/init/{name}/"
        stored = {key[len(prefix) :]: golden[key].shape for key in golden.files if key.startswith(prefix)}
        assert shapes(network) == stored
        assert [key for key, _ in network.named_parameters()] == described["params"][name]


def test_a_state_dict_without_counters_loads() -> None:
    """Old checkpoints lack ``num_batches_tracked``, which torch's instance norm adds on loading."""
    network = family("generator").build("resnet", 5, width=4, blocks=1)
    state = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    network.load_state_dict(state)


def test_a_critics_norm_renames_no_key() -> None:
    expected = critic_keys(128, 64, 5, 6)
    for norm in family("discriminator_norm").names():
        with torch.device("meta"):
            network = family("discriminator").build("patchgan", 5, 128, norm=norm)
        result = shapes(network)
        assert {key: result.get(key) for key in expected} == expected, norm
