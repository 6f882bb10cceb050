"""One training step against a plain implementation of the reference's, step randomness and the EMA."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tiny import LAYOUTS, ONE, SIZE, TWO, make_batch, make_critic, make_generator, make_objective, make_train_state
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab import compose
from stargan_lab.labels import Batch, LabelLayout
from stargan_lab.losses.step import Step
from stargan_lab.runs.build import build_objective, build_train_state
from stargan_lab.training.ema import Ema
from stargan_lab.training.updates import StepRandomness, step_randomness, train_step, translated


def classified(logits: Tensor, labels: Tensor, layout: LabelLayout, source: int) -> Tensor:
    start = sum(len(spec.names) for spec in layout.specs[:source])
    logits = logits[:, start : start + labels.shape[1]]
    if layout.specs[source].kind == "categorical":
        return functional.cross_entropy(logits, labels.argmax(1))
    per_label = -(labels * functional.logsigmoid(logits) + (1 - labels) * functional.logsigmoid(-logits))
    return per_label.sum() / len(logits)


def full_label(labels: Tensor, layout: LabelLayout, source: int) -> Tensor:
    parts = [labels if s == source else labels.new_zeros(len(labels), len(x.names)) for s, x in enumerate(layout.specs)]
    if len(layout.specs) > 1:
        parts.append(functional.one_hot(torch.full((len(labels),), source), len(layout.specs)).to(labels))
    return torch.cat(parts, 1)


class Reference:
    """The reference's step: translate, update the discriminator, translate again, update the generator."""

    def __init__(self, layout: LabelLayout) -> None:
        self.layout = layout
        self.g = make_generator(layout.generator_width).double()
        self.d = make_critic(layout.critic_width).double()
        self.g_adam = torch.optim.Adam(self.g.parameters(), 1e-3, (0.5, 0.999))
        self.d_adam = torch.optim.Adam(self.d.parameters(), 2e-3, (0.5, 0.999))

    def update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.g_adam.zero_grad()
        self.d_adam.zero_grad()
        loss.backward()
        optimizer.step()

    def step(self, batch: Batch, randomness: StepRandomness, update_generator: bool) -> dict[str, Tensor]:
        x, y, source = batch.images.double(), batch.labels.double(), batch.source
        target = y[randomness.permutation]
        src, cls = self.d(x)
        d_real, d_cls = -src.mean(), classified(cls, y, self.layout, source)
        fake = self.g(x, full_label(target, self.layout, source))
        d_fake = self.d(fake.detach())[0].mean()
        alpha = randomness.alpha[0].double()
        x_hat = (alpha * x + (1 - alpha) * fake.detach()).requires_grad_(True)
        out = self.d(x_hat)[0]
        (slope,) = torch.autograd.grad(out, x_hat, torch.ones_like(out), create_graph=True)
        d_gp = ((slope.reshape(len(x), -1).square().sum(1).sqrt() - 1) ** 2).mean()
        self.update(d_real + d_fake + 1.0 * d_cls + 10.0 * d_gp, self.d_adam)
        losses = {"d_real": d_real, "d_fake": d_fake, "d_cls": d_cls, "d_gp": d_gp}
        if update_generator:
            fake = self.g(x, full_label(target, self.layout, source))
            src, cls = self.d(fake)
            g_fake, g_cls = -src.mean(), classified(cls, target, self.layout, source)
            g_rec = (x - self.g(fake, full_label(y, self.layout, source))).abs().mean()
            self.update(g_fake + 10.0 * g_rec + 1.0 * g_cls, self.g_adam)
            losses |= {"g_fake": g_fake, "g_rec": g_rec, "g_cls": g_cls}
        return losses


@pytest.mark.parametrize("n_critic", [1, 2])
@pytest.mark.parametrize("joint_pass", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_one_translation_gives_the_same_updates_as_the_references_two(
    layout: LabelLayout, joint_pass: bool, n_critic: int
) -> None:
    reference = Reference(layout)
    train_state = make_train_state(layout, precision="float64", joint_pass=joint_pass)
    objective = make_objective(layout)
    sources = len(layout.specs)
    for step in range(1, 4 * sources + 1):
        batch, randomness = make_batch(layout, step), step_randomness(0, step, 4, 1)
        due = ((step - 1) // sources + 1) % n_critic == 0
        expected, losses = (
            reference.step(batch, randomness, due),
            train_step(train_state, objective, batch, randomness, due),
        )
        assert list(losses) == list(expected)
        for name, value in losses.items():
            assert value.item() == pytest.approx(expected[name].item(), rel=1e-12, abs=1e-12), name
    for ours, theirs in ((train_state.generator, reference.g), (train_state.critic, reference.d)):
        for (key, value), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            difference = (value - other).detach().abs()
            if ours is train_state.generator and key == "main.0.weight":
                assert difference[:, 3:, 3, 3].max() < 1e-8
                difference[:, 3:, 3, 3] = 0  # the true gradient is 0; Adam amplifies its rounding
            assert difference.max() <= 1e-12, key


def test_the_generator_is_trained_against_the_updated_discriminator() -> None:
    moved, frozen = make_train_state(ONE, precision="float64"), make_train_state(ONE, precision="float64", d_lr=1e-12)
    scores = [
        train_step(state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), True)["g_fake"]
        for state in (moved, frozen)
    ]
    assert abs(scores[0] - scores[1]) > 1e-4


def test_a_generator_update_does_not_change_the_discriminator() -> None:
    with_g, without_g = make_train_state(ONE), make_train_state(ONE)
    start = [p.clone() for p in with_g.generator.parameters()]
    for train_state, due in ((with_g, True), (without_g, False)):
        losses = train_step(train_state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), due)
        assert not any(value.requires_grad for value in losses.values())
    for a, b in zip(with_g.critic.parameters(), without_g.critic.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a.grad, b.grad)
        assert a.requires_grad and b.requires_grad
    updated, unchanged = (list(train_state.generator.parameters()) for train_state in (with_g, without_g))
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(start, unchanged, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(start, updated, strict=True))


def test_frozen_parameters_of_the_discriminator_stay_frozen() -> None:
    state = make_train_state(ONE)
    frozen, *others = state.critic.parameters()
    frozen.requires_grad_(False)
    start = frozen.clone()
    for step in range(1, 5):
        train_step(state, make_objective(ONE), make_batch(ONE, step), step_randomness(0, step, 4, 1), step % 2 == 0)
    assert torch.equal(frozen, start) and not frozen.requires_grad
    assert all(parameter.requires_grad for parameter in others)


class Fails:
    network = "generator"

    def __call__(self, step: Step) -> Tensor:
        raise RuntimeError


def test_a_failed_generator_update_leaves_the_discriminator_trainable() -> None:
    state, objective = make_train_state(ONE), make_objective(ONE, extra={"fails": (1.0, Fails())})
    with pytest.raises(RuntimeError):
        train_step(state, objective, make_batch(ONE), step_randomness(0, 1, 4, 1), True)
    assert all(parameter.requires_grad for parameter in state.critic.parameters())


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 3e-2)])
def test_lower_precision_gives_similar_losses_and_keeps_float32_parameters(precision: str, tolerance: float) -> None:
    exact, train_state = make_train_state(ONE, precision="float64"), make_train_state(ONE, precision=precision)
    expected, losses = (
        train_step(state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), True)
        for state in (exact, train_state)
    )
    assert {p.dtype for n in (train_state.generator, train_state.critic) for p in n.parameters()} == {torch.float32}
    for name, value in losses.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=tolerance, abs=tolerance), name


class Reversed(nn.Module):
    """A generator without rounding: the batch in reverse order."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return images.flip(0)


def discriminator_gradient(**options: str) -> Tensor:
    """Gradient of the discriminator's first update with respect to its weights."""
    state = make_train_state(ONE, generator=Reversed(), **options)
    train_step(state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), False)
    return torch.cat([p.grad.double().flatten() for p in state.critic.parameters()])


def test_a_discriminator_in_float32_keeps_the_gradient_of_a_bfloat16_run_close_to_float64() -> None:
    exact = discriminator_gradient(precision="float64")
    errors = {
        kind: (
            (discriminator_gradient(precision="bfloat16", discriminator_precision=kind) - exact).norm() / exact.norm()
        )
        for kind in ("same", "float32")
    }
    assert errors["float32"] < 1e-5 < 1e-3 < errors["same"] < 5e-2, errors


def test_one_pass_calls_the_discriminator_once_for_both_kinds_of_images() -> None:
    sizes = []
    state = make_train_state(ONE, joint_pass=True)
    state.critic.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    train_step(state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), True)
    assert sizes == [8, 4, 4]  # real and translated, interpolates, and the generator's update


def test_each_batch_size_is_compiled_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A joint pass has twice the images, which by default makes torch compile for any number."""
    sizes: list[list[int | torch.SymInt]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor | torch.SymInt]) -> Callable[..., Any]:
        images = [x for x in inputs if isinstance(x, Tensor) and x.shape[1:] == (3, SIZE, SIZE)]
        sizes.append([x.shape[0] for x in images] + [x for x in inputs if not isinstance(x, Tensor)])
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr("stargan_lab.training.updates.torch.compile", partial(torch.compile, backend=backend))
    state = make_train_state(ONE, joint_pass=True, compile=True)
    for step in range(1, 5):
        train_step(state, make_objective(ONE), make_batch(ONE, step), step_randomness(0, step, 4, 1), step % 2 == 0)
    # the generator without a graph, with one, and of images that have one; the discriminator for either update
    assert sorted(sizes) == [[4], [4], [4], [4], [8]]


def test_a_batch_of_one_trains_with_its_source_label_as_target() -> None:
    randomness = step_randomness(3, 1, 1, 1)
    assert randomness.permutation.tolist() == [0]
    losses = train_step(make_train_state(ONE), make_objective(ONE), make_batch(ONE, n=1), randomness, True)
    assert all(value.isfinite() for value in losses.values())


def test_step_randomness_is_a_pure_function_of_seed_and_step() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    keys = [(0, 1), (0, 2), (1, 1), (11, 1), (1, 11)]
    first, second = ([step_randomness(seed, step, 64, 2) for seed, step in keys] for _ in range(2))
    for field in ("permutation", "alpha", "choice"):
        values = [getattr(randomness, field) for randomness in first]
        assert all(torch.equal(a, getattr(b, field)) for a, b in zip(values, second, strict=True))
        assert len({tuple(value.flatten().tolist()) for value in values}) == len(keys)
    assert torch.equal(state, torch.get_rng_state())


def test_the_number_of_interpolates_does_not_change_the_targets() -> None:
    several, none = step_randomness(0, 7, 16, 3), step_randomness(0, 7, 16, 0)
    assert several.alpha.shape == (3, 16, 1, 1, 1) and none.alpha.shape == (0, 16, 1, 1, 1)
    assert torch.equal(several.permutation, none.permutation) and torch.equal(several.choice, none.choice)


def test_alpha_is_uniform() -> None:
    values = torch.cat([step_randomness(0, step, 16, 1).alpha.flatten() for step in range(500)]).double()
    assert abs(values.mean() - 0.5) < 5 / (12 * 8000) ** 0.5
    assert abs(values.var() - 1 / 12) < 0.004


def constant(value: float) -> nn.Module:
    network = nn.Linear(2, 1)
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    return network


def test_the_average_matches_hand_computed_values() -> None:
    ema = Ema(constant(1.0), 0.9)
    assert ema.network is not None
    for value, expected in ((2.0, 1.1), (2.0, 1.19), (-1.0, 0.971)):
        ema.update(constant(value))
        for parameter in ema.network.parameters():
            torch.testing.assert_close(parameter, torch.full_like(parameter, expected))
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())


def test_the_average_changes_only_with_generator_updates_and_does_not_affect_them() -> None:
    plain, averaged = make_train_state(TWO), make_train_state(TWO, decay=0.5)
    assert plain.ema.network is None and averaged.ema.network is not None
    start = [p.clone() for p in averaged.generator.parameters()]
    for step, due in ((1, False), (2, True)):
        for state in (plain, averaged):
            train_step(state, make_objective(TWO), make_batch(TWO, step), step_randomness(0, step, 4, 1), due)
        if not due:
            assert all(map(torch.equal, averaged.ema.network.parameters(), start))
    now = list(averaged.generator.parameters())
    assert all(map(torch.equal, plain.generator.parameters(), now))
    for average, first, last in zip(averaged.ema.network.parameters(), start, now, strict=True):
        torch.testing.assert_close(average, (first + last) / 2)


def test_passes_that_the_penalty_does_not_differentiate_use_torchs_layers() -> None:
    """In a run; the penalty's own pass does not."""
    config = compose(["preset=tiny", "trainer.device=cpu"])
    state, objective = build_train_state(config, ONE), build_objective(config, ONE)
    step = translated(state, objective, make_batch(ONE), step_randomness(0, 1, len(make_batch(ONE).images), 1))
    kinds = {}
    for name, scores in {"plain": step.real_scores, "twice": step.scores(step.real)}.items():
        node = scores.grad_fn
        while node is not None and "Convolution" not in node.name():
            node = next(source for source, _ in node.next_functions if source is not None)
        kinds[name] = node.name() if node else None
    assert kinds == {"plain": "ConvolutionBackward0", "twice": "_ConvolutionBackward"}
