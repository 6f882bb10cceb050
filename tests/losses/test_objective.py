"""The two objectives: each term by hand, the totals, and which part of the logits is scored."""

import math

import pytest
import torch
from tiny import FACES, LAYOUTS, MOODS, ONE, TWO, make_batch, make_critic, make_generator, make_objective
from torch import Tensor

from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.losses.adversarial import Wasserstein
from stargan_lab.losses.lipschitz import GradientPenalty, Unconstrained
from stargan_lab.losses.objective import Objective, classification


def test_binary_by_hand() -> None:
    logits, labels = torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    terms = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log(2), math.log1p(math.exp(3))]
    assert classification(logits, labels, "binary").item() == pytest.approx(sum(terms) / 2, rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("a", [1, 2, 5, 40])
def test_binary_grows_with_the_number_of_labels_and_not_with_the_batch(n: int, a: int) -> None:
    loss = classification(torch.zeros(n, a), torch.ones(n, a), "binary")
    assert loss.item() == pytest.approx(a * math.log(2), rel=1e-6)


def test_categorical_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    labels = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    second = math.log(math.exp(-2) + math.exp(-1) + 1)
    assert classification(logits, labels, "categorical").item() == pytest.approx((math.log(3) + second) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_extreme_logits_are_finite(kind: str) -> None:
    logits, labels = torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), torch.eye(2)
    assert classification(logits, labels, kind).item() == 0
    assert 0 < classification(-logits, labels, kind).item() < 1e5


def alpha(samples: int = 1) -> Tensor:
    return torch.rand(samples, 4, 1, 1, 1, generator=torch.Generator().manual_seed(2))


def objective_of(layout: LabelLayout, cls: float = 0.7, rec: float = 3.0, **gp: float) -> Objective:
    return Objective(layout, Wasserstein(), GradientPenalty(**{"weight": 2.5, **gp}), cls=cls, rec=rec)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_critics_total(layout: LabelLayout, step: int) -> None:
    critic, batch = make_critic(layout.critic_width), make_batch(layout, step)
    fake = make_batch(layout, step + 10).images
    total, parts = objective_of(layout).critic(critic, batch, fake, alpha())
    assert list(parts) == ["d_real", "d_fake", "d_cls", "d_gp"]
    scores, logits = critic(batch.images)
    own = logits[:, layout.span(batch.source)]
    assert parts["d_real"].item() == pytest.approx(-scores.mean().item())
    assert parts["d_fake"].item() == pytest.approx(critic(fake)[0].mean().item())
    assert parts["d_cls"].item() == pytest.approx(
        classification(own, batch.labels, layout.specs[batch.source].kind).item()
    )
    gp = GradientPenalty().penalty(lambda x: critic(x)[0], batch.images, fake, alpha())
    assert parts["d_gp"].item() == pytest.approx(gp.item())
    weighted = parts["d_real"] + parts["d_fake"] + 0.7 * parts["d_cls"] + 2.5 * parts["d_gp"]
    assert total.item() == pytest.approx(weighted.item(), rel=1e-6)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_generators_total(layout: LabelLayout, step: int) -> None:
    generator, critic = make_generator(layout.generator_width), make_critic(layout.critic_width)
    batch = make_batch(layout, step)
    targets = batch.labels[[1, 2, 3, 0]]
    fake = generator(batch.images, layout.generator_label(targets, batch.source))
    total, parts = objective_of(layout).generator(generator, critic, batch, fake, targets)
    assert list(parts) == ["g_fake", "g_rec", "g_cls"]
    scores, logits = critic(fake)
    back = generator(fake, layout.generator_label(batch.labels, batch.source))
    assert parts["g_fake"].item() == pytest.approx(-scores.mean().item())
    assert parts["g_rec"].item() == pytest.approx((batch.images - back).abs().mean().item())
    own = logits[:, layout.span(batch.source)]
    assert parts["g_cls"].item() == pytest.approx(classification(own, targets, layout.specs[batch.source].kind).item())
    weighted = parts["g_fake"] + 3.0 * parts["g_rec"] + 0.7 * parts["g_cls"]
    assert total.item() == pytest.approx(weighted.item(), rel=1e-6)


def test_reconstruction_teaches_through_both_passes() -> None:
    generator, critic, batch = make_generator(3), make_critic(3), make_batch(ONE)
    objective = objective_of(ONE, cls=0.0)
    fake = generator(batch.images, batch.labels)
    fake.retain_grad()
    _, parts = objective.generator(generator, critic, batch, fake, batch.labels)
    parts["g_rec"].backward()
    assert fake.grad.abs().max() > 0


def test_the_critics_loss_does_not_reach_the_generator() -> None:
    generator, critic, batch = make_generator(3), make_critic(3), make_batch(ONE)
    fake = generator(batch.images, batch.labels)
    objective_of(ONE).critic(critic, batch, fake, alpha())[0].backward()
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_terms_of_weight_zero_are_told_and_not_taught() -> None:
    critic, batch = make_critic(3), make_batch(ONE)
    total, parts = objective_of(ONE, cls=0.0).critic(critic, batch, -batch.images, alpha())
    assert parts["d_cls"].item() > 0
    total.backward()
    assert not critic.conv2.weight.grad.any()


def test_without_a_constraint_there_is_no_term() -> None:
    critic, batch = make_critic(3), make_batch(ONE)
    objective = Objective(ONE, Wasserstein(), Unconstrained(), cls=1.0, rec=1.0)
    total, parts = objective.critic(critic, batch, -batch.images, alpha(0))
    assert list(parts) == ["d_real", "d_fake", "d_cls"]
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()), rel=1e-6)


@pytest.mark.parametrize(("step", "own", "other"), [(1, slice(0, 3), slice(3, 5)), (2, slice(3, 5), slice(0, 3))])
def test_only_the_datasets_own_logits_are_scored(step: int, own: slice, other: slice) -> None:
    generator, critic = make_generator(TWO.generator_width), make_critic(TWO.critic_width)
    batch, objective = make_batch(TWO, step), make_objective(TWO)
    fake = generator(batch.images, TWO.generator_label(batch.labels, batch.source))
    for total, _ in (
        objective.critic(critic, batch, fake, alpha()),
        objective.generator(generator, critic, batch, fake, batch.labels),
    ):
        critic.zero_grad()
        total.backward()
        gradient = critic.conv2.weight.grad
        assert not gradient[other].any()
        assert (gradient[own].flatten(1).abs().amax(1) > 0).all()


def test_the_generators_label_of_one_dataset_is_the_label() -> None:
    labels = make_batch(ONE).labels
    assert torch.equal(ONE.generator_label(labels, 0), labels)
    assert (ONE.generator_width, ONE.critic_width) == (3, 3)


def test_the_generators_label_of_two_datasets() -> None:
    """[labels of the first | labels of the second | mask]."""
    first = TWO.generator_label(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), 0)
    assert first.tolist() == [[1, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1, 0]]
    second = TWO.generator_label(torch.tensor([[0.0, 1.0]], dtype=torch.float64), 1)
    assert second.tolist() == [[0, 0, 0, 0, 1, 0, 1]]
    assert second.dtype == torch.float64
    assert (TWO.generator_width, TWO.critic_width) == (7, 5)


def test_three_datasets() -> None:
    layout = LabelLayout((FACES, MOODS, LabelSpec("ages", ("old",))))
    assert [layout.span(source) for source in range(3)] == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert layout.generator_label(torch.ones(1, 1), 2).tolist() == [[0, 0, 0, 0, 0, 1, 0, 0, 1]]
    logits = torch.arange(6.0)[None]
    assert [layout.source_logits(logits, source).tolist() for source in range(3)] == [[[0, 1, 2]], [[3, 4]], [[5]]]
