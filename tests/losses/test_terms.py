"""Loss terms beyond the standard ones: R1 and total variation by hand, and terms from a user's module."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import ONE, make_batch, make_critic, make_objective, make_step, make_train_state
from torch import Tensor, nn

import stargan_lab
from stargan_lab import compose
from stargan_lab.config import RunConfig, run_id
from stargan_lab.config.factors import factors
from stargan_lab.errors import ConfigError
from stargan_lab.labels import Batch
from stargan_lab.registry import family
from stargan_lab.runs.build import build_objective
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.training.updates import step_randomness, train_step

USER_MODULE = '''\
"""Loss terms of a user."""

from stargan_lab.registry import family


@family("loss_term").register("brightness", source="a notebook", unit="gray levels", direction="lower", decimals=2)
class Brightness:
    """Distance of the mean pixel from a level.

    Args:
        level: in [-1, 1].
    """

    network = "generator"

    def __init__(self, *, level: float = 0.0) -> None:
        self.level = level

    def __call__(self, step):
        return step.fake.mean() - self.level


@family("loss_term").register("drift", source="Karras et al. 2018")
class Drift:
    """Mean squared score of real images."""

    network = "discriminator"

    def __call__(self, step):
        return step.real_scores.square().mean()


@family("loss_term").register("matching")
class Matching:
    """Distance between features of real and translated images; only for the first dataset."""

    network = "generator"

    def __call__(self, step):
        if step.source != 0:
            return None
        features = step.discriminator.main
        return (features(step.real) - features(step.fake)).abs().mean()


@family("loss_term").register("aimless")
class Aimless:
    """Belongs to no network."""

    def __call__(self, step):
        return step.fake.mean()


@family("loss_term").register("heavy")
class Heavy:
    """Has an option with a reserved name."""

    network = "generator"

    def __init__(self, *, weight: float = 1.0) -> None: ...
'''


@pytest.fixture
def user_terms(here: Path) -> Iterator[str]:
    """The override that imports a user's module from the current folder."""
    (here / "user_terms.py").write_text(USER_MODULE)
    terms, path = family("loss_term"), list(sys.path)
    known = set(terms.names())
    yield "imports=[user_terms]"
    sys.path[:] = path
    sys.modules.pop("user_terms", None)
    for name in set(terms.names()) - known:
        for entries in (terms._entries, terms._sources, terms._traits, terms._facts):
            del entries[name]


def tiny(*overrides: str) -> RunConfig:
    return compose(["preset=tiny", "trainer.device=cpu", *overrides])


class Shift(nn.Module):
    """A generator that adds one learned number to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        return images + self.shift


class Scale(nn.Module):
    """A discriminator whose score is the mean pixel times one learned number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean = images.mean((1, 2, 3), keepdim=True)
        return self.scale * mean, images.new_zeros(len(images), 3)


def gradients(config: RunConfig) -> tuple[float, float]:
    """Of the generator's and the discriminator's only parameter after one step in float64."""
    train_state = make_train_state(ONE, generator=Shift(), critic=Scale(), precision="float64", d_lr=1e-30)
    objective = build_objective(config, ONE)
    randomness = step_randomness(0, 1, 4, objective.lipschitz.samples)
    train_step(train_state, objective, make_batch(ONE), randomness, update_generator=True)
    return train_state.generator.shift.grad.item(), train_state.critic.scale.grad.item()


def test_a_user_term_adds_its_weighted_gradient_to_its_network_only(user_terms: str) -> None:
    """mean(x + shift) has gradient 1; mean((scale · m)²) has 2 · scale · mean(m²), m the mean pixel of each image."""
    generator, discriminator = gradients(tiny())
    assert gradients(tiny(user_terms, "+terms.brightness.weight=0.25")) == pytest.approx(
        (generator + 0.25, discriminator), rel=1e-12
    )
    squares = make_batch(ONE).images.double().mean((1, 2, 3)).square()
    expected = discriminator + 0.5 * 2 * 3 * squares.mean().item()
    assert gradients(tiny(user_terms, "+terms.drift.weight=0.5")) == pytest.approx((generator, expected), rel=1e-9)


def test_options_reach_the_term_and_a_weight_of_zero_leaves_it_out(user_terms: str) -> None:
    config = tiny(user_terms, "terms={brightness:{weight:1,level:0.5},drift:{weight:0}}")
    weight, term = build_objective(config, ONE).extra["brightness"]
    assert (weight, term.level) == (1.0, 0.5)
    assert "drift" not in build_objective(config, ONE).terms


def test_feature_matching_reads_the_discriminators_layers_and_may_skip_a_dataset(user_terms: str) -> None:
    objective = build_objective(tiny(user_terms, "+terms.matching.weight=1"), ONE)
    batch, critic = make_batch(ONE), make_critic(3)
    step = make_step(objective, critic, batch, batch.images, generator=Shift())
    assert objective.total("generator", step)[1]["matching"].item() == 0
    assert not step.reconstruction.requires_grad  # without a graph of fake, as in the discriminator's objective
    other = make_step(objective, critic, Batch(batch.images, batch.labels, 1), batch.images)
    assert objective.terms["matching"][1](other) is None


@pytest.mark.integration
def test_a_run_logs_user_terms_and_shows_them_as_factors(user_terms: str, here: Path) -> None:
    config = tiny(user_terms, "tracking.enabled=false", "+terms.brightness.weight=0.5", "+terms.r1.weight=2")
    result = stargan_lab.run(config)
    assert result["status"] == "finished"
    rows = RunFolder(here / "outputs" / "runs" / result["run_id"]).rows()
    assert all(
        {"loss/brightness", "loss/r1", "loss/g_rec"} <= set(row.metrics) for row in rows if "lr/g" in row.metrics
    )
    shown = lookup("loss/brightness")
    assert (shown.label, shown.decimals) == ("brightness (gray levels) ↓", 2)
    assert shown.meaning.removesuffix(".") == "Distance of the mean pixel from a level"
    assert {key: value for key, value in factors(config).items() if key.startswith("terms.")} == {
        "terms.brightness.weight": "0.5",
        "terms.brightness.level": "0.0",
        "terms.r1.weight": "2.0",
        "terms.r1.reduction": "sum",
    }


def test_terms_are_part_of_the_run_id_only_when_they_change_the_numbers() -> None:
    plain = run_id(tiny(), ["data"])
    assert plain == run_id(tiny("terms={}"), ["data"]) == run_id(tiny("+terms.r1.weight=0"), ["data"])
    one = run_id(tiny("+terms.r1.weight=1"), ["data"])
    assert len({plain, one, run_id(tiny("+terms.r1.weight=1", "+terms.r1.reduction=mean"), ["data"])}) == 3
    both = "r1:{weight:1}", "total_variation:{weight:2}"
    first, second = (tiny(f"terms={{{','.join(order)}}}") for order in (both, both[::-1]))
    assert run_id(first, ["data"]) == run_id(second, ["data"])
    assert list(build_objective(first, ONE).terms) == list(build_objective(second, ONE).terms)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+terms.totl_variation.weight=1", "terms.totl_variation: unknown loss term 'totl_variation'; did you mean"),
        ("+terms.g_rec.weight=1", "terms.g_rec: already part of every objective; set weights.rec instead; allowed: "),
        ("terms.d_cls.weight=1", "terms.d_cls: already part of every objective; set weights.cls instead; allowed: "),
        ("terms.d_real.weight=1", "terms.d_real: already part of every objective; its weight is 1; allowed: "),
        ("+terms.d_rec.weight=1", "terms.d_rec: unknown loss term 'd_rec'; allowed: "),
        ("+terms.r1.reduction=mean", "terms.r1.weight: missing"),
        ("+terms.r1.weight=-1", "terms.r1.weight: expected at least 0, got -1"),
        ("terms={r1:{weight:1,reductoin:sum}}", "terms.r1.reductoin: unknown key; did you mean 'reduction'? allowed:"),
        ("terms={r1:{weight:1,reduction:max}}", "terms.r1.reduction: expected 'sum' or 'mean', got 'max'"),
        ("terms=r1", "terms: expected a mapping such as {total_variation: {weight: 0.0001}}, got 'r1'"),
        ("+terms.aimless.weight=1", "terms.aimless: its class must set network = 'generator' or 'discriminator'"),
        ("+terms.heavy.weight=1", "terms.heavy: an option cannot be called weight"),
    ],
)
def test_an_illegal_term_is_refused_in_one_line(override: str, message: str, user_terms: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny(user_terms, override)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_r1_matches_hand_computed_values() -> None:
    """Two patches with gradients 3 and -1 per pixel: the sum has norm² 12 · 2², their mean 12 · 1²."""

    def critic(images: Tensor) -> tuple[Tensor, Tensor]:
        return images.sum((1, 2, 3))[:, None, None, None] * torch.tensor([3.0, -1.0]), images.new_zeros(len(images), 3)

    batch = make_batch(ONE, n=2, size=2)
    step = make_step(make_objective(ONE), critic, batch, -batch.images)
    assert family("loss_term").build("r1")(step).item() == pytest.approx(12 * 4 / 2)
    assert family("loss_term").build("r1", reduction="mean")(step).item() == pytest.approx(12 * 1 / 2)
    assert not batch.images.requires_grad


def test_r1_is_computed_at_real_images_and_trains_the_discriminator() -> None:
    """Score w · |x|² / 2 has gradient w x at x, so R1 is w² mean|x|² / 2 and its slope in w is w mean|x|²."""
    w = torch.tensor(3.0, requires_grad=True)
    batch = make_batch(ONE, n=2, size=2)
    squares = batch.images.square().flatten(1).sum(1).mean().item()
    step = make_step(
        make_objective(ONE),
        lambda x: (w * x.square().sum((1, 2, 3), keepdim=True) / 2, x.new_zeros(len(x), 3)),
        batch,
        5 * batch.images,
    )
    value = family("loss_term").build("r1")(step)
    value.backward()
    assert (value.item(), w.grad.item()) == pytest.approx((4.5 * squares, 3 * squares), rel=1e-6)


def test_total_variation_matches_a_hand_computed_value() -> None:
    """Vertical differences 4 and 2, horizontal 1 and 5."""
    fake = torch.tensor([[0.0, 1.0], [4.0, -1.0]]).expand(1, 3, 2, 2)
    batch = Batch(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3), 0)
    step = make_step(make_objective(ONE), make_critic(3), batch, fake)
    assert family("loss_term").build("total_variation")(step).item() == pytest.approx((4 + 2) / 2 + (1 + 5) / 2)
