"""Seeds are pure functions of names, equal on every machine."""

import numpy as np
import pytest
import torch

from stargan_lab.seeding import generator_for, seed_for

PINNED = {
    (0,): 4_246_866_556_266_386_882,
    (0, "step", 1): 1_578_201_625_287_471_526,
    (3, "generator", "main.0", "weight"): 1_793_246_853_204_369_524,
}


def test_seeds_differ_and_fit_into_63_bits() -> None:
    parts = [(seed, name, step) for seed in range(10) for name in ("alpha", "step", "flip") for step in range(100)]
    seeds = [seed_for(*each) for each in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    bits = np.array([[seed >> bit & 1 for bit in range(63)] for seed in seeds])
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / len(seeds) ** 0.5


@pytest.mark.parametrize(("one", "other"), [((1, 11), (11, 1)), ((1, 1), (11,)), (("a", "b"), ("ab",))])
def test_similar_arguments_have_different_seeds(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert seed_for(*one) != seed_for(*other)


@pytest.mark.parametrize("parts", PINNED)
def test_seeds_are_pinned(parts: tuple[object, ...]) -> None:
    """The initial weights and random numbers of every recorded run depend on them."""
    assert seed_for(*parts) == PINNED[parts]


def test_generators_are_new_and_do_not_change_the_global_state() -> None:
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first = torch.rand(5, generator=generator_for("a", 1))
    assert torch.equal(torch.rand(5, generator=generator_for("a", 1)), first)
    assert not torch.equal(torch.rand(5, generator=generator_for("a", 2)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert generator_for("a").device == torch.device("cpu")
