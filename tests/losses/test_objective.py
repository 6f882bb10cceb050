"""The objectives: totals are weighted sums of registered terms, and each dataset's logits are scored separately."""

import math

import pytest
import torch
from tiny import FACES, MOODS, ONE, TWO, make_batch, make_critic, make_generator, make_objective, make_step

from stargan_lab.errors import LabError
from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.losses.step import Network, Step
from stargan_lab.losses.terms.stargan import classification
from stargan_lab.registry import family


def test_binary_classification_matches_hand_computed_value() -> None:
    logits, labels = torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    terms = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log(2), math.log1p(math.exp(3))]
    assert classification(logits, labels, "binary").item() == pytest.approx(sum(terms) / 2, rel=1e-6)


@pytest.mark.parametrize(("n", "a"), [(1, 5), (7, 2)])
def test_binary_classification_grows_with_labels_but_not_with_the_batch(n: int, a: int) -> None:
    loss = classification(torch.zeros(n, a), torch.ones(n, a), "binary")
    assert loss.item() == pytest.approx(a * math.log(2), rel=1e-6)


def test_categorical_classification_matches_hand_computed_value() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    labels = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    second = math.log(math.exp(-2) + math.exp(-1) + 1)
    assert classification(logits, labels, "categorical").item() == pytest.approx((math.log(3) + second) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_classification_of_extreme_logits_is_finite(kind: str) -> None:
    logits, labels = torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), torch.eye(2)
    assert classification(logits, labels, kind).item() == 0
    assert 0 < classification(-logits, labels, kind).item() < 1e5


CASES = [pytest.param(ONE, 1, id="binary"), pytest.param(TWO, 2, id="categorical")]


@pytest.mark.parametrize(("layout", "step"), CASES)
def test_discriminator_total_is_the_weighted_sum_of_its_terms(layout: LabelLayout, step: int) -> None:
    critic, batch = make_critic(layout.critic_width), make_batch(layout, step)
    fake, objective = make_batch(layout, step + 10).images, make_objective(layout, cls=0.7, weight=2.5)
    inputs = make_step(objective, critic, batch, fake)
    total, values = objective.total("discriminator", inputs)
    scores, logits = critic(batch.images)
    cls = classification(logits[:, layout.span(batch.source)], batch.labels, layout.specs[batch.source].kind)
    gp = GradientPenalty().penalty(lambda x: critic(x)[0], batch.images, fake, inputs.alpha)
    expected = {"d_real": -scores.mean(), "d_fake": critic(fake)[0].mean(), "d_cls": cls, "d_gp": gp}
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}
    )
    weighted = expected["d_real"] + expected["d_fake"] + 0.7 * cls + 2.5 * gp
    assert total.item() == pytest.approx(weighted.item(), rel=1e-6)


def test_declared_weights_are_those_of_the_objective() -> None:
    keys = {"weights.cls": 2.0, "weights.rec": 3.0, "lipschitz.weight": 5.0, "1": 1.0}
    objective, terms = make_objective(ONE, cls=2.0, rec=3.0, weight=5.0), family("loss_term")
    declared = {name: keys[terms.facts(name)["weight"]] for name in terms.names() if "weight" in terms.facts(name)}
    assert {name: weight for name, (weight, _) in objective.terms.items()} == declared


@pytest.mark.parametrize(("layout", "step"), CASES)
def test_generator_total_is_the_weighted_sum_of_its_terms(layout: LabelLayout, step: int) -> None:
    generator, critic = make_generator(layout.generator_width), make_critic(layout.critic_width)
    batch, objective = make_batch(layout, step), make_objective(layout, cls=0.7, rec=3.0)
    targets = batch.labels[[1, 2, 3, 0]]
    fake = generator(batch.images, layout.generator_label(targets, batch.source))
    inputs = make_step(objective, critic, batch, fake, generator=generator, targets=targets)
    total, values = objective.total("generator", inputs)
    scores, logits = critic(fake)
    back = generator(fake, layout.generator_label(batch.labels, batch.source))
    cls = classification(logits[:, layout.span(batch.source)], targets, layout.specs[batch.source].kind)
    expected = {"g_fake": -scores.mean(), "g_rec": (batch.images - back).abs().mean(), "g_cls": cls}
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}
    )
    weighted = expected["g_fake"] + 3.0 * expected["g_rec"] + 0.7 * cls
    assert total.item() == pytest.approx(weighted.item(), rel=1e-6)
    fake.retain_grad()
    values["g_rec"].backward()
    assert fake.grad.abs().max() > 0  # reconstruction trains the first pass of the generator too


def test_a_term_of_weight_zero_is_logged_without_a_gradient() -> None:
    critic, batch, objective = make_critic(3), make_batch(ONE), make_objective(ONE, cls=0.0)
    total, values = objective.total("discriminator", make_step(objective, critic, batch, -batch.images))
    assert values["d_cls"].item() > 0
    total.backward()
    assert not critic.conv2.weight.grad.any()


def test_a_constraint_without_penalty_adds_no_term() -> None:
    critic, batch, objective = make_critic(3), make_batch(ONE), make_objective(ONE, "none")
    total, values = objective.total("discriminator", make_step(objective, critic, batch, -batch.images))
    assert "d_gp" not in values
    assert total.item() == pytest.approx(sum(value.item() for value in values.values()), rel=1e-6)


def test_a_term_that_is_not_a_scalar_is_refused_by_name() -> None:
    class PerImage:
        network: Network = "discriminator"

        def __call__(self, step: Step) -> torch.Tensor:
            return step.real_scores.flatten(1).mean(1)

    objective, batch = make_objective(ONE, extra={"per_image": (1.0, PerImage())}), make_batch(ONE)
    with pytest.raises(LabError, match=r"loss term 'per_image': expected a scalar, got shape \(4,\)"):
        objective.total("discriminator", make_step(objective, make_critic(3), batch, -batch.images))


@pytest.mark.parametrize(("step", "scored", "unscored"), [(1, slice(0, 3), slice(3, 5)), (2, slice(3, 5), slice(0, 3))])
def test_only_the_logits_of_the_batchs_dataset_are_scored(step: int, scored: slice, unscored: slice) -> None:
    generator, critic = make_generator(TWO.generator_width), make_critic(TWO.critic_width)
    batch, objective = make_batch(TWO, step), make_objective(TWO)
    fake = generator(batch.images, TWO.generator_label(batch.labels, batch.source))
    networks: tuple[Network, ...] = ("discriminator", "generator")
    for network in networks:
        critic.zero_grad()
        objective.total(network, make_step(objective, critic, batch, fake, generator=generator))[0].backward(
            retain_graph=True
        )
        gradient = critic.conv2.weight.grad
        assert not gradient[unscored].any()
        assert (gradient[scored].flatten(1).abs().amax(1) > 0).all()


def test_generator_labels_of_one_dataset_have_no_mask() -> None:
    labels = make_batch(ONE).labels
    assert torch.equal(ONE.generator_label(labels, 0), labels)
    assert (ONE.generator_width, ONE.critic_width) == (3, 3)


def test_generator_labels_of_several_datasets_end_with_a_mask() -> None:
    layout = LabelLayout((FACES, MOODS, LabelSpec("ages", ("old",))))
    assert (layout.generator_width, layout.critic_width) == (9, 6)
    first = layout.generator_label(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), 0)
    assert first.tolist() == [[1, 0, 1, 0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0, 1, 0, 0]]
    second = layout.generator_label(torch.tensor([[0.0, 1.0]], dtype=torch.float64), 1)
    assert second.tolist() == [[0, 0, 0, 0, 1, 0, 0, 1, 0]] and second.dtype == torch.float64
    logits = torch.arange(6.0)[None]
    assert [layout.source_logits(logits, source).tolist() for source in range(3)] == [[[0, 1, 2]], [[3, 4]], [[5]]]
