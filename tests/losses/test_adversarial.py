"""Adversarial losses by hand, and what all of them have to be."""

import pytest
import torch

from stargan_lab.registry import family


def test_wasserstein_by_hand() -> None:
    loss = family("adversarial").build("wgan")
    real, fake = torch.tensor([[1.0, 3.0], [5.0, -1.0]]), torch.tensor([[2.0, -4.0], [0.0, 0.0]])
    assert [term.item() for term in loss.critic(real, fake)] == [-2.0, -0.5]
    assert loss.generator(fake).item() == 0.5


def test_wasserstein_is_a_mean_over_batch_and_patches() -> None:
    loss = family("adversarial").build("wgan")
    scores = torch.arange(24.0).reshape(2, 1, 3, 4)
    assert loss.generator(scores).item() == -11.5
    assert loss.generator(scores.repeat(3, 1, 2, 2)).item() == -11.5


REAL, FAKE = [0.0, 2.0], [0.0, -3.0]
BY_HAND = {
    # log 2 and log(1 + e^-2); log 2 and log(1 + e^-3)
    "vanilla": ((0.6931471806 + 0.1269280110) / 2, (0.6931471806 + 0.0485873516) / 2),
    "minimax": ((0.6931471806 + 0.1269280110) / 2, (0.6931471806 + 0.0485873516) / 2),
    "lsgan": ((1 + 1) / 4, (0 + 9) / 4),
    "hinge": ((1 + 0) / 2, (1 + 0) / 2),
    "wgan": (-1.0, -1.5),
}
GENERATOR_BY_HAND = {
    "vanilla": (0.6931471806 + 3.0485873516) / 2,  # log(1 + e^0) and log(1 + e^3)
    "minimax": -(0.6931471806 + 0.0485873516) / 2,  # log(1 - 1/2) and log(1 - σ(-3))
    "lsgan": (1 + 16) / 4,
    "hinge": 1.5,
    "wgan": 1.5,
}


@pytest.mark.parametrize("name", family("adversarial").names())
def test_terms_by_hand(name: str) -> None:
    loss = family("adversarial").build(name)
    real, fake = (torch.tensor(scores, dtype=torch.float64).reshape(2, 1, 1, 1) for scores in (REAL, FAKE))
    assert [term.item() for term in loss.critic(real, fake)] == pytest.approx(BY_HAND[name], abs=1e-9)
    assert loss.generator(fake).item() == pytest.approx(GENERATOR_BY_HAND[name], abs=1e-9)


def generators_slope(name: str, score: float) -> float:
    fake = torch.tensor([[score]], dtype=torch.float64, requires_grad=True)
    family("adversarial").build(name).generator(fake).backward()
    return -fake.grad.item()


def test_the_minimax_gradient_vanishes_where_the_critic_is_sure_and_the_others_do_not() -> None:
    """At score s the slopes are σ(s) for minimax and 1 - σ(s) for the non-saturating form."""
    assert generators_slope("minimax", -10) == pytest.approx(4.5397868702e-5, rel=1e-9)
    assert generators_slope("vanilla", -10) == pytest.approx(1 - 4.5397868702e-5, rel=1e-9)
    assert generators_slope("lsgan", -10) == pytest.approx(11)
    assert generators_slope("hinge", -10) == generators_slope("wgan", -10) == 1


def test_hinge_leaves_scores_beyond_the_margin_alone() -> None:
    real, fake = (torch.tensor(v, requires_grad=True) for v in ([0.9, 1.1], [-0.9, -1.1]))
    sum(family("adversarial").build("hinge").critic(real, fake)).backward()
    assert real.grad.tolist() == [-0.5, 0] and fake.grad.tolist() == [0.5, 0]


@pytest.mark.parametrize("name", family("adversarial").names())
def test_each_loss_pulls_the_scores_apart(name: str) -> None:
    """Downhill is up for real scores and down for generated ones; the generator's is up. All terms are finite."""
    loss = family("adversarial").build(name)
    real, fake = (torch.full((2, 1, 2, 2), 0.5, requires_grad=True) for _ in range(2))
    critic_terms = loss.critic(real, fake)
    sum(critic_terms).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    loss.generator(fake).backward()
    assert (fake.grad < 0).all()
    extreme = torch.tensor([-1e3, 1e3]).reshape(2, 1, 1, 1)
    assert all(term.isfinite() and term.ndim == 0 for term in (*loss.critic(extreme, extreme), loss.generator(extreme)))
