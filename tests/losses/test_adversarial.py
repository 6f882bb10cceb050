"""Adversarial losses against hand-computed values and gradients."""

import pytest
import torch

from stargan_lab.registry import family

REAL, FAKE = [0.0, 2.0], [0.0, -3.0]
EXPECTED = {  # discriminator's real and fake term, generator's term
    # log 2 and log(1 + e^-2), log 2 and log(1 + e^-3); log 2 and log(1 + e^3)
    "vanilla": (
        (0.6931471806 + 0.1269280110) / 2,
        (0.6931471806 + 0.0485873516) / 2,
        (0.6931471806 + 3.0485873516) / 2,
    ),
    # the generator's: log(1 - 1/2) and log(1 - σ(-3))
    "minimax": (
        (0.6931471806 + 0.1269280110) / 2,
        (0.6931471806 + 0.0485873516) / 2,
        -(0.6931471806 + 0.0485873516) / 2,
    ),
    "lsgan": ((1 + 1) / 4, (0 + 9) / 4, (1 + 16) / 4),
    "hinge": ((1 + 0) / 2, (1 + 0) / 2, 1.5),
    "wgan": (-1.0, -1.5, 1.5),
}


@pytest.mark.parametrize("name", family("adversarial").names())
def test_terms_match_hand_computed_values(name: str) -> None:
    loss = family("adversarial").build(name)
    real, fake = (torch.tensor(scores, dtype=torch.float64).reshape(2, 1, 1, 1) for scores in (REAL, FAKE))
    terms = (*loss.critic(real, fake), loss.generator(fake))
    assert [term.item() for term in terms] == pytest.approx(EXPECTED[name], abs=1e-9)
    extreme = torch.tensor([-1e3, 1e3]).reshape(2, 1, 1, 1)
    assert all(term.isfinite() and term.ndim == 0 for term in (*loss.critic(extreme, extreme), loss.generator(extreme)))


def test_wgan_averages_over_batch_and_patches() -> None:
    loss, scores = family("adversarial").build("wgan"), torch.arange(24.0).reshape(2, 1, 3, 4)
    assert loss.generator(scores).item() == loss.generator(scores.repeat(3, 1, 2, 2)).item() == -11.5
    assert [term.item() for term in loss.critic(scores, scores)] == [-11.5, 11.5]


def generator_gradient(name: str, score: float) -> float:
    fake = torch.tensor([[score]], dtype=torch.float64, requires_grad=True)
    family("adversarial").build(name).generator(fake).backward()
    return -fake.grad.item()


def test_only_the_minimax_gradient_vanishes_for_rejected_images() -> None:
    """At score s it is σ(s) for minimax and 1 - σ(s) for the non-saturating loss."""
    assert generator_gradient("minimax", -10) == pytest.approx(4.5397868702e-5, rel=1e-9)
    assert generator_gradient("vanilla", -10) == pytest.approx(1 - 4.5397868702e-5, rel=1e-9)
    assert generator_gradient("lsgan", -10) == pytest.approx(11)
    assert generator_gradient("hinge", -10) == generator_gradient("wgan", -10) == 1


def test_hinge_has_no_gradient_beyond_the_margin() -> None:
    real, fake = (torch.tensor(v, requires_grad=True) for v in ([0.9, 1.1], [-0.9, -1.1]))
    sum(family("adversarial").build("hinge").critic(real, fake)).backward()
    assert real.grad.tolist() == [-0.5, 0] and fake.grad.tolist() == [0.5, 0]
