"""The gradient penalty on critics whose gradient is known."""

from collections.abc import Callable

import pytest
import torch
from tiny import ONE, make_batch, make_critic, make_objective, make_train_state
from torch import Tensor, nn

from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step

DIRECTION = torch.zeros(3, 2, 2, dtype=torch.float64)
DIRECTION[0, 0, 0], DIRECTION[2, 1, 1] = 3.0, -4.0  # length 5


def linear(patches: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    """Scores (N, 1, 1, P), patch p being ``patches[p]`` times the image's product with DIRECTION."""
    return lambda x: (x * DIRECTION).sum((1, 2, 3))[:, None, None, None] * torch.tensor(patches, dtype=x.dtype)


def bowl(x: Tensor) -> Tensor:
    """|x|² / 2 in one patch, whose gradient is x itself."""
    return x.square().sum((1, 2, 3), keepdim=True) / 2


def pair(n: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(n, 3, 2, 2, generator=random, dtype=torch.float64) for _ in range(2))
    return real, fake


def alphas(samples: int, n: int) -> Tensor:
    return torch.rand(samples, n, 1, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("patches", "reduction", "expected"),
    [
        ((1.0,), "sum", (5 - 1) ** 2),
        ((1.0,), "mean", (5 - 1) ** 2),
        ((1.0, 1.0, 1.0, 1.0), "sum", (20 - 1) ** 2),
        ((1.0, 1.0, 1.0, 1.0), "mean", (5 - 1) ** 2),
        ((1.0, 2.0, 0.0, -1.0), "sum", (10 - 1) ** 2),
        ((1.0, 2.0, 0.0, -1.0), "mean", (2.5 - 1) ** 2),
        ((0.1,), "sum", (0.5 - 1) ** 2),
    ],
)
@pytest.mark.parametrize("samples", [1, 4])
def test_a_linear_critic(patches: tuple[float, ...], reduction: str, expected: float, samples: int) -> None:
    penalty = GradientPenalty(reduction=reduction, samples=samples)
    value = penalty.penalty(linear(patches), *pair(), alphas(samples, 3))
    assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("steepness", "expected"), [(0.1, 0.0), (0.2, 0.0), (0.4, 1.0), (1.0, 16.0)])
def test_one_sided_punishes_steep_critics_only(steepness: float, expected: float) -> None:
    value = GradientPenalty(one_sided=True).penalty(linear((steepness,)), *pair(), alphas(1, 3))
    assert value.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_interpolates_lie_where_alpha_says(samples: int) -> None:
    """The bowl's gradient at a point is the point, so the norms tell where it was taken."""
    (real, fake), alpha = pair(), alphas(samples, 3)
    expected = [
        (alpha[s, n] * real[n] + (1 - alpha[s, n]) * fake[n]).norm().item() for s in range(samples) for n in range(3)
    ]
    penalty = GradientPenalty(samples=samples)
    assert penalty.norms(bowl, real, fake, alpha).tolist() == pytest.approx(expected, rel=1e-12)
    mean = sum((norm - 1) ** 2 for norm in expected) / len(expected)
    assert penalty.penalty(bowl, real, fake, alpha).item() == pytest.approx(mean, rel=1e-12)


def test_alpha_is_the_weight_of_the_real_image() -> None:
    real, fake = pair()
    norms = GradientPenalty().norms(bowl, real, fake, torch.ones(1, 3, 1, 1, 1, dtype=torch.float64))
    assert norms.tolist() == pytest.approx(real.flatten(1).norm(dim=1).tolist())
    norms = GradientPenalty().norms(bowl, real, fake, torch.zeros(1, 3, 1, 1, 1, dtype=torch.float64))
    assert norms.tolist() == pytest.approx(fake.flatten(1).norm(dim=1).tolist())


def test_the_penalty_teaches_the_critic() -> None:
    """d(|w| - 1)² / dw = 2 (|w| - 1) w / |w|."""
    weight = DIRECTION.clone().requires_grad_()
    value = GradientPenalty().penalty(lambda x: (x * weight).sum((1, 2, 3), keepdim=True), *pair(), alphas(1, 3))
    value.backward()
    torch.testing.assert_close(weight.grad, 2 * (5 - 1) * DIRECTION / 5, rtol=1e-12, atol=1e-12)


def test_the_penalty_is_per_sample() -> None:
    (real, fake), alpha = pair(), alphas(2, 3)
    together = GradientPenalty(samples=2).norms(bowl, real, fake, alpha).reshape(2, 3)
    for n in range(3):
        alone = GradientPenalty(samples=2).norms(bowl, real[n : n + 1], fake[n : n + 1], alpha[:, n : n + 1])
        torch.testing.assert_close(together[:, n], alone)


def test_images_are_not_touched() -> None:
    real, fake = pair()
    copies = real.clone(), fake.clone()
    GradientPenalty().penalty(bowl, real, fake, alphas(1, 3)).detach()
    assert torch.equal(real, copies[0]) and torch.equal(fake, copies[1])
    assert not real.requires_grad and not fake.requires_grad


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("one_sided", [False, True])
def test_a_flat_critic_makes_no_nan(reduction: str, one_sided: bool) -> None:
    """All weights zero: the gradient at the interpolates is 0, and so must be what it teaches."""
    critic = make_critic(3)
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    batch = make_batch(ONE)
    objective = make_objective(ONE, reduction=reduction, one_sided=one_sided)
    total, parts = objective.critic(critic, batch, -batch.images, torch.rand(1, 4, 1, 1, 1))
    assert parts["d_gp"].item() == (0.0 if one_sided else 1.0)
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())


def test_no_constraint_is_no_term() -> None:
    constraint = family("lipschitz").build("none")
    assert constraint.penalty(bowl, *pair(), torch.zeros(0, 3, 1, 1, 1)) is None
    assert (constraint.weight, constraint.samples) == (0.0, 0)


@pytest.mark.parametrize("name", family("lipschitz").names())
def test_every_constraint_takes_its_own_draws(name: str) -> None:
    constraint = family("lipschitz").build(name)
    value = constraint.penalty(linear((1.0, 1.0)), *pair(), alphas(constraint.samples, 3))
    assert value is None or (value.ndim == 0 and value.isfinite())
    assert constraint.weight >= 0


def test_clipping_brings_every_weight_into_the_box_and_moves_no_other() -> None:
    critic = make_critic(3, norm="layer", head_bias=True)
    before = {name: value.clone() for name, value in critic.named_parameters()}
    family("lipschitz").build("clip", bound=0.05).project(critic)
    for name, value in critic.named_parameters():
        assert torch.equal(value, before[name].clamp(-0.05, 0.05)), name
    assert any(value.abs().max() > 0.05 for value in before.values())
    assert critic.main.norm1.weight.tolist() == [pytest.approx(0.05)] * 8


def test_clipping_follows_each_update_of_the_critic_and_is_no_term() -> None:
    """Arjovsky et al. 2017, algorithm 1: update, then clip; the generator's weights are its own business."""
    train_state, objective = make_train_state(ONE), make_objective(ONE, "clip", bound=0.02)
    wide = {name: value.abs().max().item() for name, value in train_state.generator.named_parameters()}
    for step in (1, 2, 3):
        batch = make_batch(ONE, step)
        parts = train_step(
            train_state, objective, batch, step_randomness(0, step, 4, objective.lipschitz.samples), step == 3
        )
        assert "d_gp" not in parts
        for name, value in train_state.critic.named_parameters():
            assert value.abs().max() <= 0.02, name
    assert max(wide.values()) > 0.02
    assert max(value.abs().max().item() for value in train_state.generator.parameters()) > 0.02


@pytest.mark.parametrize("name", family("lipschitz").names())
def test_a_projection_repeated_changes_nothing(name: str) -> None:
    critic, constraint = make_critic(3), family("lipschitz").build(name)
    constraint.project(critic)
    once = [value.clone() for value in critic.parameters()]
    constraint.project(critic)
    assert all(map(torch.equal, once, critic.parameters()))
