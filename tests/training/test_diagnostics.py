"""Diagnostics against values computed by hand, and that measuring changes nothing."""

from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
import torch
from tiny import LAYOUTS, ONE, TWO, make_batch, make_critic, make_objective, make_train_state
from torch import Tensor, nn

from stargan_lab.checkpoints.train_state import state_sha256
from stargan_lab.labels import Batch, LabelLayout
from stargan_lab.seeding import generator_for
from stargan_lab.tracking.metrics import lookup
from stargan_lab.training.diagnostics import (
    diagnose,
    diagnose_all,
    gradient_norm_summary,
    layer_gradient_norms,
    share_at_bound,
)
from stargan_lab.training.updates import TrainState, step_randomness, train_step


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


@dataclass
class ByHand:
    """A float64 critic and generator, held-out images, and what ``diagnose`` derives from seed 3."""

    state: TrainState
    batch: Batch

    def __post_init__(self) -> None:
        random = generator_for(3, "diagnostics")
        count = len(self.batch.images)
        order = torch.randperm(count, generator=random)
        self.alpha = torch.rand(1, count, 1, 1, 1, generator=random)[0].double()
        self.real, self.labels = self.batch.images.double(), self.batch.labels.double()
        self.targets = self.labels[order]
        self.fake = self.state.generator(self.real, self.targets)

    def diagnose(self, lipschitz: str = "gp", **options: Any) -> dict[str, float]:
        return diagnose(self.state, make_objective(ONE, lipschitz, **options), self.batch, seed=3)

    def scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.state.critic(images)[0]
        return scores

    def slopes(self) -> Tensor:
        """(N,) gradient norms of the sum of an image's scores, halfway as ``alpha`` says; one image at a time."""
        between = (self.alpha * self.real + (1 - self.alpha) * self.fake).detach()
        norms = []
        for image in between:
            image = image[None].requires_grad_()
            (gradient,) = torch.autograd.grad(self.scores(image).sum(), image)
            norms.append(gradient.norm())
        return torch.stack(norms)


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand(make_train_state(ONE, precision="float64"), make_batch(ONE, 7))


def test_gradient_norms_are_measured_at_the_interpolates(by_hand: ByHand) -> None:
    values, slopes = by_hand.diagnose(), by_hand.slopes()
    assert values["gradient_norm"] == pytest.approx(float(slopes.mean()), rel=1e-9)
    for share in (0.1, 0.5, 0.9):
        expected = float(slopes.quantile(share))
        assert values[f"gradient_norm_q{round(100 * share)}"] == pytest.approx(expected, rel=1e-9)


def test_the_gap_is_of_mean_scores_and_the_estimate_in_units_of_the_largest_slope(by_hand: ByHand) -> None:
    """16 scores per image: under the penalty of their sum, both gap and slope are 16 times those of their mean."""
    gap = (by_hand.scores(by_hand.real).mean() - by_hand.scores(by_hand.fake).mean()).item()
    estimate = 16 * gap / float(by_hand.slopes().max())
    for options in ({}, {"reduction": "mean"}):
        values = by_hand.diagnose(**options)
        assert values["critic_gap"] == pytest.approx(gap, rel=1e-9)
        assert values["wasserstein_estimate"] == pytest.approx(estimate, rel=1e-9)
    assert by_hand.diagnose("none")["wasserstein_estimate"] == pytest.approx(estimate, rel=1e-9)
    with torch.no_grad():
        by_hand.state.critic.conv1.weight.mul_(7)
    rescaled = by_hand.diagnose()
    assert rescaled["wasserstein_estimate"] == pytest.approx(estimate, rel=1e-9)
    assert rescaled["critic_gap"] == pytest.approx(7 * gap, rel=1e-9)


def test_there_is_no_estimate_without_a_slope(by_hand: ByHand) -> None:
    with torch.no_grad():
        by_hand.state.critic.conv1.weight.zero_()
    values = by_hand.diagnose()
    assert values["gradient_norm"] == 0 and "wasserstein_estimate" not in values


def test_layer_gradients_are_those_of_both_adversarial_terms(by_hand: ByHand) -> None:
    """Layer by layer, with the loss -mean D(real) + mean D(fake) of 4 x 16 scores."""
    main, head = by_hand.state.critic.main, by_hand.state.critic.conv1
    squares = {"main.0": 0.0, "main.2": 0.0, "conv1": 0.0}
    for images, sign in ((by_hand.real, -1), (by_hand.fake.detach(), 1)):
        first = main[0](images)
        second = main[2](nn.functional.leaky_relu(first, 0.01))
        scores = head(nn.functional.leaky_relu(second, 0.01))
        for name, output in (("main.0", first), ("main.2", second), ("conv1", scores)):
            (gradient,) = torch.autograd.grad(sign * scores.mean(), output, retain_graph=True)
            squares[name] += float(gradient.square().sum())
    values = by_hand.diagnose()
    layers = {name.removeprefix("layer_gradient/"): v for name, v in values.items() if name.startswith("layer_")}
    assert layers == pytest.approx({name: square**0.5 for name, square in squares.items()}, rel=1e-9)


def test_generator_gradients_are_those_of_the_weighted_terms(by_hand: ByHand) -> None:
    generator, critic = by_hand.state.generator, by_hand.state.critic
    logits = critic(by_hand.fake)[1]
    entropy = nn.functional.softplus(logits) - logits * by_hand.targets
    terms = {
        "g_fake": -by_hand.scores(by_hand.fake).mean(),
        "g_rec": 3 * (by_hand.real - generator(by_hand.fake, by_hand.labels)).abs().mean(),
        "g_cls": 2 * entropy.sum() / len(by_hand.real),
    }
    expected = {}
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, list(generator.parameters()), retain_graph=True, allow_unused=True)
        squares = [float(gradient.square().sum()) for gradient in gradients if gradient is not None]
        expected[f"generator_gradient/{name}"] = sum(squares) ** 0.5
    values = by_hand.diagnose(rec=3.0, cls=2.0)
    assert {name: v for name, v in values.items() if name in expected} == pytest.approx(expected, rel=1e-9)
    assert len([name for name in values if name.startswith("generator_gradient/")]) == 3


def test_saturated_scores_and_logits_are_counted(by_hand: ByHand) -> None:
    """Weights are scaled so that half of the values lie beyond ±4.6."""
    critic = by_hand.state.critic

    def scores() -> Tensor:
        return torch.cat([by_hand.scores(by_hand.real), by_hand.scores(by_hand.fake)]).abs()

    def logits() -> Tensor:
        found: Tensor = critic(by_hand.real)[1].abs()
        return found

    assert by_hand.diagnose()["score_saturation"] == by_hand.diagnose()["logit_saturation"] == 0
    with torch.no_grad():
        critic.conv1.weight.mul_(4.6 / scores().median())
        critic.conv2.weight.mul_(4.6 / logits().median())
    values = by_hand.diagnose()
    for name, found in (("score_saturation", scores()), ("logit_saturation", logits())):
        expected = sum(value > 4.6 for value in found.flatten().tolist()) / found.numel()
        assert 0.3 < expected < 0.7 and values[name] == pytest.approx(expected)


def test_weights_at_the_bound_are_counted_over_the_whole_discriminator(by_hand: ByHand) -> None:
    critic = by_hand.state.critic
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.fill_(0.29)
        critic.conv1.weight.fill_(-0.298)
    total = sum(parameter.numel() for parameter in critic.parameters())
    share = by_hand.diagnose("clip", bound=0.3)["share_at_bound"]
    assert share == pytest.approx(critic.conv1.weight.numel() / total)
    assert "share_at_bound" not in by_hand.diagnose()


def test_compiled_networks_are_not_used(by_hand: ByHand) -> None:
    """The graph of a compiled network can be differentiated only once, which is too few for one term at a time."""

    def compiled(*_: Tensor) -> NoReturn:
        raise AssertionError("a compiled network was called")

    expected = by_hand.diagnose()
    by_hand.state.translate = by_hand.state.discriminate = compiled
    assert by_hand.diagnose() == expected


def test_with_several_datasets_each_is_measured_under_its_name() -> None:
    state, objective = make_train_state(TWO, precision="float64"), make_objective(TWO)
    batches = [make_batch(TWO, 7), make_batch(TWO, 8)]
    assert [batch.source for batch in batches] == [0, 1]
    values = diagnose_all(state, objective, batches, seed=3)
    for batch, name in zip(batches, ("faces", "moods"), strict=True):
        alone = diagnose(state, objective, batch, seed=3)
        assert {key: value for key, value in values.items() if key.endswith(f"/{name}")} == {
            f"{key}/{name}": value for key, value in alone.items()
        }
    assert all(lookup(f"diagnostics/{key}").meaning for key in values)
    assert len(values) == 2 * len(alone)


def test_gradient_norms_are_those_that_the_penalty_pulls_to_one() -> None:
    """The sum of the scores under the reference's penalty; their mean, sixteen times less, without a penalty."""
    state, batch = make_train_state(ONE, precision="float64"), make_batch(ONE, 7)
    summed, mean = (
        diagnose(state, make_objective(ONE, name), batch, seed=3)["gradient_norm"] for name in ("gp", "none")
    )
    assert summed == pytest.approx(16 * mean)
