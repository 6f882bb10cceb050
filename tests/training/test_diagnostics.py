"""Diagnostics against values computed by hand, and that measuring changes nothing."""

from itertools import permutations

import pytest
import torch
from tiny import LAYOUTS, ONE, make_batch, make_critic, make_objective, make_train_state
from torch import Tensor, nn

from stargan_lab.checkpoints.train_state import state_sha256
from stargan_lab.labels import LabelLayout
from stargan_lab.training.diagnostics import (
    diagnose,
    gradient_norm_summary,
    layer_gradient_norms,
    share_at_bound,
)
from stargan_lab.training.updates import step_randomness, train_step


def test_share_at_bound_counts_weights_and_biases() -> None:
    layer = nn.Linear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, -0.1, 0.05]]))
        layer.bias.fill_(0.0995)
    assert share_at_bound(layer, 0.1) == 0.75
    assert share_at_bound(layer, 0.2) == 0.0
    assert share_at_bound(layer, None) == 0.75  # relative to the largest weight


def test_summary_of_gradient_norms() -> None:
    summary = gradient_norm_summary(torch.tensor([0.0, 0.95, 1.05, 2.0, 3.0]))
    expected = {"gradient_norm": 1.4, "gradient_norm_q10": 0.38, "gradient_norm_q50": 1.05, "gradient_norm_q90": 2.6}
    for name, value in expected.items():
        assert float(summary[name]) == pytest.approx(value)
    assert float(summary["gradient_norm_near_1"]) == pytest.approx(0.4)


def test_layer_gradients_of_two_passes_by_hand() -> None:
    """y = v·relu(w·x), loss = y(1) + y(-2): the gradient at w's output is v and 0, at v's output 1 per pass.

    The activation works in place: the gradient must be that of its input.
    """
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(inplace=True), nn.Linear(1, 1, bias=False))
    nn.init.constant_(network[0].weight, 2.0)
    nn.init.constant_(network[2].weight, 3.0)
    norms = layer_gradient_norms(
        network, lambda: (network(torch.tensor([[1.0]])) + network(torch.tensor([[-2.0]]))).sum()
    )
    assert {name: float(norm) for name, norm in norms.items()} == pytest.approx({"0": 3.0, "2": 2**0.5})
    assert not network[0]._forward_hooks


def test_layers_that_the_loss_does_not_depend_on_are_left_out() -> None:
    critic = make_critic(3)
    norms = layer_gradient_norms(critic, lambda: critic(torch.ones(1, 3, 16, 16))[0].sum())
    assert list(norms) == ["main.0", "main.2", "conv1"]


def trained(layout: LabelLayout, diagnosed: bool, lipschitz: str, precision: str = "float32") -> str:
    state, objective = make_train_state(layout, precision=precision), make_objective(layout, lipschitz)
    torch.manual_seed(5)
    for step in range(1, 5):
        batch = make_batch(layout, step)
        randomness = step_randomness(0, step, len(batch.images), objective.lipschitz.samples)
        train_step(state, objective, batch, randomness, step % 2 == 0)
        if diagnosed:
            diagnose(state, objective, make_batch(layout, 99), seed=0)
    return f"{state_sha256(state)} {torch.rand(1).item()}"


@pytest.mark.parametrize("lipschitz", ["gp", "clip"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_diagnostics_do_not_change_training_or_random_numbers(layout: LabelLayout, lipschitz: str) -> None:
    assert trained(layout, False, lipschitz) == trained(layout, True, lipschitz)


def test_values_against_direct_computation() -> None:
    state, objective = make_train_state(ONE, precision="float64"), make_objective(ONE, "clip", bound=0.3)
    batch = make_batch(ONE, 7)
    values = diagnose(state, objective, batch, seed=3)
    assert values == diagnose(state, objective, batch, seed=3)
    assert values["share_at_bound"] == share_at_bound(state.critic, 0.3)
    images, labels = batch.images.double(), batch.labels.double()
    gaps: list[float] = []
    for order in _orders(len(images)):
        fake = state.generator(images, labels[order])
        gaps.append((state.critic(images)[0].mean() - state.critic(fake)[0].mean()).item())
    assert any(values["critic_gap"] == pytest.approx(gap, abs=1e-12) for gap in gaps)
    assert {name for name in values if name.startswith("generator_gradient/")} == {
        f"generator_gradient/{term}" for term in ("g_fake", "g_rec", "g_cls")
    }
    assert 0 <= values["logit_saturation"] <= 1 and 0 <= values["score_saturation"] <= 1


def _orders(n: int) -> list[Tensor]:
    return [torch.tensor(order) for order in permutations(range(n))]


def test_the_gradient_of_a_weighted_term_grows_with_its_weight() -> None:
    state, batch = make_train_state(ONE), make_batch(ONE, 7)
    one, ten = (diagnose(state, make_objective(ONE, rec=rec), batch, seed=3) for rec in (1.0, 10.0))
    key = "generator_gradient/g_rec"
    assert ten[key] == pytest.approx(10 * one[key], rel=1e-4) and one[key] > 0
    assert ten["generator_gradient/g_fake"] == pytest.approx(one["generator_gradient/g_fake"], rel=1e-6)


def test_gradient_norms_are_those_that_the_penalty_pulls_to_one() -> None:
    """The sum of the scores under the reference's penalty; their mean, sixteen times less, without a penalty."""
    state, batch = make_train_state(ONE, precision="float64"), make_batch(ONE, 7)
    summed, mean = (
        diagnose(state, make_objective(ONE, name), batch, seed=3)["gradient_norm"] for name in ("gp", "none")
    )
    assert summed == pytest.approx(16 * mean)


def test_saturated_logits_are_counted() -> None:
    state, batch = make_train_state(ONE), make_batch(ONE, 7)
    assert diagnose(state, make_objective(ONE), batch, seed=3)["logit_saturation"] == 0.0
    with torch.no_grad():
        state.critic.conv2.weight.mul_(1e6)
    assert diagnose(state, make_objective(ONE), batch, seed=3)["logit_saturation"] == 1.0
