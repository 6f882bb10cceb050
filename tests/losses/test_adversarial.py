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


@pytest.mark.parametrize("name", family("adversarial").names())
def test_each_loss_pulls_the_scores_apart(name: str) -> None:
    """Downhill is up for real scores and down for generated ones; the generator's is up. All terms are finite."""
    loss = family("adversarial").build(name)
    real, fake = (torch.zeros(2, 1, 2, 2, requires_grad=True) for _ in range(2))
    critic_terms = loss.critic(real, fake)
    sum(critic_terms).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    loss.generator(fake).backward()
    assert (fake.grad < 0).all()
    extreme = torch.tensor([-1e3, 1e3]).reshape(2, 1, 1, 1)
    assert all(term.isfinite() and term.ndim == 0 for term in (*loss.critic(extreme, extreme), loss.generator(extreme)))
