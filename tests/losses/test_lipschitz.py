"""The gradient penalty on critics with a known gradient, and weight clipping."""

from collections.abc import Callable

import pytest
import torch
from tiny import ONE, make_batch, make_critic, make_objective, make_step, make_train_state
from torch import Tensor, nn

from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.registry import family
from stargan_lab.training.updates import step_randomness, train_step

DIRECTION = torch.zeros(3, 2, 2, dtype=torch.float64)
DIRECTION[0, 0, 0], DIRECTION[2, 1, 1] = 3.0, -4.0  # length 5


def linear(patches: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    """Scores (N, 1, 1, P); patch p is ``patches[p]`` times the image's product with DIRECTION."""
    return lambda x: (x * DIRECTION).sum((1, 2, 3))[:, None, None, None] * torch.tensor(patches, dtype=x.dtype)


def quadratic(x: Tensor) -> Tensor:
    """|x|² / 2 in one patch, whose gradient is x itself."""
    return x.square().sum((1, 2, 3), keepdim=True) / 2


def pair(n: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(n, 3, 2, 2, generator=random, dtype=torch.float64) for _ in range(2))
    return real, fake


def alphas(samples: int, n: int = 3) -> Tensor:
    return torch.rand(samples, n, 1, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("patches", "reduction", "samples", "expected"),
    [
        ((0.1,), "sum", 1, (0.5 - 1) ** 2),
        ((1.0, 2.0, 0.0, -1.0), "sum", 1, (10 - 1) ** 2),
        ((1.0, 2.0, 0.0, -1.0), "mean", 4, (2.5 - 1) ** 2),
    ],
)
def test_penalty_of_a_linear_critic(patches: tuple[float, ...], reduction: str, samples: int, expected: float) -> None:
    penalty = GradientPenalty(reduction=reduction, samples=samples)
    value = penalty.penalty(linear(patches), *pair(), alphas(samples))
    assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("slope", "expected"), [(0.1, 0.0), (0.4, 1.0)])
def test_one_sided_penalizes_only_norms_above_one(slope: float, expected: float) -> None:
    value = GradientPenalty(one_sided=True).penalty(linear((slope,)), *pair(), alphas(1))
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_alpha_weighs_the_real_image_in_each_interpolate() -> None:
    """The quadratic's gradient at a point is the point itself, so the norms identify the interpolates."""
    (real, fake), alpha = pair(), alphas(2)
    expected = [(alpha[s, n] * real[n] + (1 - alpha[s, n]) * fake[n]).norm().item() for s in range(2) for n in range(3)]
    penalty = GradientPenalty(samples=2)
    assert penalty.norms(quadratic, real, fake, alpha).tolist() == pytest.approx(expected, rel=1e-12)
    mean = sum((norm - 1) ** 2 for norm in expected) / len(expected)
    assert penalty.penalty(quadratic, real, fake, alpha).item() == pytest.approx(mean, rel=1e-12)


def test_the_penalty_has_a_gradient_for_the_critic() -> None:
    """d(|w| - 1)² / dw = 2 (|w| - 1) w / |w|."""
    weight = DIRECTION.clone().requires_grad_()
    value = GradientPenalty().penalty(lambda x: (x * weight).sum((1, 2, 3), keepdim=True), *pair(), alphas(1))
    value.backward()
    torch.testing.assert_close(weight.grad, 2 * (5 - 1) * DIRECTION / 5, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("one_sided", [False, True])
def test_a_zero_critic_has_finite_gradients(one_sided: bool) -> None:
    critic = make_critic(3)
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    batch, objective = make_batch(ONE), make_objective(ONE, one_sided=one_sided)
    total, values = objective.total("discriminator", make_step(objective, critic, batch, -batch.images))
    assert values["d_gp"].item() == (0.0 if one_sided else 1.0)
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())


@pytest.mark.parametrize("name", family("lipschitz").names())
def test_every_constraint_gives_a_scalar_or_none(name: str) -> None:
    constraint = family("lipschitz").build(name)
    value = constraint.penalty(linear((1.0, 1.0)), *pair(), alphas(constraint.samples))
    assert value is None or (value.ndim == 0 and value.isfinite())
    assert constraint.weight >= 0


def test_clipping_follows_each_update_of_the_discriminator_only() -> None:
    """Arjovsky et al. 2017, algorithm 1: update, then clip."""
    critic = make_critic(3, norm="layer", head_bias=True)
    train_state, objective = make_train_state(ONE, critic=critic), make_objective(ONE, "clip", bound=0.02)
    assert max(value.abs().max().item() for value in critic.parameters()) > 0.02
    losses = train_step(train_state, objective, make_batch(ONE), step_randomness(0, 1, 4, 0), True)
    assert "d_gp" not in losses
    assert max(value.abs().max().item() for value in critic.parameters()) == pytest.approx(0.02)
    assert critic.main.norm1.weight.tolist() == [pytest.approx(0.02)] * 8
    assert max(value.abs().max().item() for value in train_state.generator.parameters()) > 0.02


def test_clipping_changes_no_weight_within_the_bound() -> None:
    critic = make_critic(3)
    before = {name: value.clone() for name, value in critic.named_parameters()}
    family("lipschitz").build("clip", bound=0.05).project(critic)
    assert all(torch.equal(value, before[name].clamp(-0.05, 0.05)) for name, value in critic.named_parameters())
