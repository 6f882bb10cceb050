"""One training step against the reference's order of things, written out naively."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import LAYOUTS, ONE, TWO, make_batch, make_critic, make_generator, make_objective, make_train_state
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.labels import Batch, LabelLayout
from stargan_lab.training.ema import Ema
from stargan_lab.training.updates import StepRandomness, TrainState, step_randomness, train_step


def classified(logits: Tensor, labels: Tensor, layout: LabelLayout, source: int) -> Tensor:
    start = sum(len(spec.names) for spec in layout.specs[:source])
    own = logits[:, start : start + labels.shape[1]]
    if layout.specs[source].kind == "categorical":
        return functional.cross_entropy(own, labels.argmax(1))
    per_label = -(labels * functional.logsigmoid(own) + (1 - labels) * functional.logsigmoid(-own))
    return per_label.sum() / len(own)


def asked(labels: Tensor, layout: LabelLayout, source: int) -> Tensor:
    parts = [labels if s == source else labels.new_zeros(len(labels), len(x.names)) for s, x in enumerate(layout.specs)]
    if len(layout.specs) > 1:
        parts.append(functional.one_hot(torch.full((len(labels),), source), len(layout.specs)).to(labels))
    return torch.cat(parts, 1)


class Naive:
    """The reference's step: translate for the critic, update it, translate again for the generator, update that."""

    def __init__(self, layout: LabelLayout) -> None:
        self.layout = layout
        self.g = make_generator(layout.generator_width).double()
        self.d = make_critic(layout.critic_width).double()
        self.g_adam = torch.optim.Adam(self.g.parameters(), 1e-3, (0.5, 0.999))
        self.d_adam = torch.optim.Adam(self.d.parameters(), 2e-3, (0.5, 0.999))

    def descend(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.g_adam.zero_grad()
        self.d_adam.zero_grad()
        loss.backward()
        optimizer.step()

    def step(self, batch: Batch, randomness: StepRandomness, update_generator: bool) -> dict[str, Tensor]:
        x, y, source = batch.images.double(), batch.labels.double(), batch.source
        target = y[randomness.permutation]
        src, cls = self.d(x)
        d_real, d_cls = -src.mean(), classified(cls, y, self.layout, source)
        fake = self.g(x, asked(target, self.layout, source))
        d_fake = self.d(fake.detach())[0].mean()
        alpha = randomness.alpha[0].double()
        x_hat = (alpha * x + (1 - alpha) * fake.detach()).requires_grad_(True)
        out = self.d(x_hat)[0]
        (slope,) = torch.autograd.grad(out, x_hat, torch.ones_like(out), create_graph=True)
        d_gp = ((slope.reshape(len(x), -1).square().sum(1).sqrt() - 1) ** 2).mean()
        self.descend(d_real + d_fake + 1.0 * d_cls + 10.0 * d_gp, self.d_adam)
        parts = {"d_real": d_real, "d_fake": d_fake, "d_cls": d_cls, "d_gp": d_gp}
        if update_generator:
            fake = self.g(x, asked(target, self.layout, source))
            src, cls = self.d(fake)
            g_fake, g_cls = -src.mean(), classified(cls, target, self.layout, source)
            g_rec = (x - self.g(fake, asked(y, self.layout, source))).abs().mean()
            self.descend(g_fake + 10.0 * g_rec + 1.0 * g_cls, self.g_adam)
            parts |= {"g_fake": g_fake, "g_rec": g_rec, "g_cls": g_cls}
        return parts


@pytest.mark.parametrize("n_critic", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_one_translation_equals_the_references_two(layout: LabelLayout, n_critic: int) -> None:
    naive = Naive(layout)
    train_state, objective = make_train_state(layout, precision="float64"), make_objective(layout)
    sources = len(layout.specs)
    for step in range(1, 4 * sources + 1):
        batch, randomness = make_batch(layout, step), step_randomness(0, step, 4, 1)
        due = ((step - 1) // sources + 1) % n_critic == 0
        expected, parts = naive.step(batch, randomness, due), train_step(train_state, objective, batch, randomness, due)
        assert list(parts) == list(expected)
        for name, part in parts.items():
            assert part.item() == pytest.approx(expected[name].item(), rel=1e-12, abs=1e-12), name
    for ours, theirs in ((train_state.generator, naive.g), (train_state.critic, naive.d)):
        for (key, value), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            difference = (value - other).detach().abs()
            if ours is train_state.generator and key == "main.0.weight":
                assert difference[:, 3:, 3, 3].max() < 1e-8
                difference[:, 3:, 3, 3] = 0  # a true gradient of 0, of which Adam sees the rounding
            assert difference.max() <= 1e-12, key


def test_the_generator_is_attribute_classifierd_by_the_updated_critic() -> None:
    """Freezing the critic's update changes what the generator's step sees."""
    moved, frozen = make_train_state(ONE, precision="float64"), make_train_state(ONE, precision="float64", d_lr=1e-12)
    scores = [
        train_step(t, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), True)["g_fake"]
        for t in (moved, frozen)
    ]
    assert abs(scores[0] - scores[1]) > 1e-4


def test_the_generators_update_leaves_the_critic_alone() -> None:
    with_g, without_g = make_train_state(ONE), make_train_state(ONE)
    start = [p.clone() for p in with_g.generator.parameters()]
    for train_state, due in ((with_g, True), (without_g, False)):
        train_step(train_state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), due)
    for a, b in zip(with_g.critic.parameters(), without_g.critic.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a.grad, b.grad)
        assert a.requires_grad and b.requires_grad
    moved, still = (list(train_state.generator.parameters()) for train_state in (with_g, without_g))
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(start, still, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(start, moved, strict=True))


def test_the_terms_carry_no_graph() -> None:
    parts = train_step(make_train_state(ONE), make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), True)
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize(
    ("lipschitz", "options"), [("gp", {"samples": 3}), ("gp", {"reduction": "mean"}), ("none", {})]
)
def test_every_constraint_trains(lipschitz: str, options: dict[str, Any]) -> None:
    train_state, objective = make_train_state(ONE), make_objective(ONE, lipschitz, **options)
    parts = train_step(
        train_state, objective, make_batch(ONE), step_randomness(0, 1, 4, objective.lipschitz.samples), True
    )
    assert ("d_gp" in parts) == (lipschitz == "gp")
    assert all(p.isfinite().all() for n in (train_state.generator, train_state.critic) for p in n.parameters())


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_precisions(precision: str) -> None:
    """Parameters stay in their type; the terms lie close to those in float64."""
    expected = train_step(
        make_train_state(ONE, precision="float64"),
        make_objective(ONE),
        make_batch(ONE),
        step_randomness(0, 1, 4, 1),
        True,
    )
    train_state = make_train_state(ONE, precision=precision)
    parts = train_step(train_state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), True)
    wanted = torch.float64 if precision == "float64" else torch.float32
    assert {p.dtype for n in (train_state.generator, train_state.critic) for p in n.parameters()} == {wanted}
    tolerance = {"float32": 1e-4, "float64": 1e-12, "bfloat16": 3e-2}[precision]
    for name, part in parts.items():
        assert part.item() == pytest.approx(expected[name].item(), rel=tolerance, abs=tolerance), name


def test_a_batch_of_one_trains() -> None:
    """Its target is its own label, always."""
    assert step_randomness(3, 1, 1, 1).permutation.tolist() == [0]
    parts = train_step(
        make_train_state(ONE), make_objective(ONE), make_batch(ONE, n=1), step_randomness(3, 1, 1, 1), True
    )
    assert all(part.isfinite() for part in parts.values())


def test_draws_are_a_pure_function() -> None:
    torch.manual_seed(0)
    first = step_randomness(7, 3, 8, 2)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    step_randomness(7, 4, 8, 2)
    again = step_randomness(7, 3, 8, 2)
    assert torch.equal(first.permutation, again.permutation) and torch.equal(first.alpha, again.alpha)
    assert torch.equal(state, torch.get_rng_state())


def test_draws_differ_by_seed_and_step() -> None:
    keys = [(0, 1), (0, 2), (1, 1), (1, 2), (11, 1), (1, 11)]
    assert len({tuple(step_randomness(seed, step, 64, 1).alpha.flatten().tolist()) for seed, step in keys}) == len(keys)
    assert len({tuple(step_randomness(seed, step, 64, 1).permutation.tolist()) for seed, step in keys}) == len(keys)


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_shapes_and_ranges_of_draws(samples: int) -> None:
    randomness = step_randomness(0, 1, 16, samples)
    assert randomness.alpha.shape == (samples, 16, 1, 1, 1)
    assert sorted(randomness.permutation.tolist()) == list(range(16))
    assert ((randomness.alpha >= 0) & (randomness.alpha < 1)).all()


def test_more_samples_do_not_change_the_targets() -> None:
    assert torch.equal(step_randomness(0, 1, 16, 1).permutation, step_randomness(0, 1, 16, 4).permutation)
    assert torch.equal(step_randomness(0, 1, 16, 1).permutation, step_randomness(0, 1, 16, 0).permutation)


def test_alpha_is_uniform() -> None:
    values = torch.cat([step_randomness(0, step, 16, 1).alpha.flatten() for step in range(500)]).double()
    assert abs(values.mean() - 0.5) < 5 / (12 * 8000) ** 0.5
    assert abs(values.var() - 1 / 12) < 0.004


def filled(value: float) -> nn.Module:
    network = nn.Linear(2, 1)
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    return network


def test_the_average_by_hand() -> None:
    ema = Ema(filled(1.0), 0.9)
    assert ema.network is not None
    for value, expected in ((2.0, 1.1), (2.0, 1.19), (-1.0, 0.971)):
        ema.update(filled(value))
        for parameter in ema.network.parameters():
            torch.testing.assert_close(parameter, torch.full_like(parameter, expected))
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())


def test_no_average() -> None:
    ema = Ema(filled(1.0), 0.0)
    ema.update(filled(2.0))
    assert ema.network is None


def test_the_average_follows_the_generators_updates_and_no_others() -> None:
    train_state: TrainState = make_train_state(ONE, decay=0.5)
    assert train_state.ema.network is not None
    start = [p.clone() for p in train_state.generator.parameters()]
    step: Callable[[int, bool], Any] = lambda i, due: train_step(  # noqa: E731
        train_state, make_objective(ONE), make_batch(ONE, i), step_randomness(0, i, 4, 1), due
    )
    step(1, False)
    assert all(map(torch.equal, train_state.ema.network.parameters(), start))
    step(2, True)
    for average, first, now in zip(
        train_state.ema.network.parameters(), start, train_state.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(average, (first + now) / 2)


def test_the_average_does_not_disturb_the_training() -> None:
    plain, averaged = make_train_state(TWO), make_train_state(TWO, decay=0.99)
    for train_state in (plain, averaged):
        for step in (1, 2):
            train_step(train_state, make_objective(TWO), make_batch(TWO, step), step_randomness(0, step, 4, 1), True)
    for a, b in zip(plain.generator.parameters(), averaged.generator.parameters(), strict=True):
        assert torch.equal(a, b)
