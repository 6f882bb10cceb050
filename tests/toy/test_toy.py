"""Toy distributions, critics and their training."""

import math
import statistics
from typing import Any

import pytest
import torch
from torch import nn

from stargan_lab.config.toy import ToyConfig, compose_toy
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family
from stargan_lab.seeding import generator_for
from stargan_lab.toy.critic import ToyCritic, initialize_critic
from stargan_lab.toy.distributions import sample
from stargan_lab.toy.train import _update, noisy_points, per_point_gradient, train_critics
from stargan_lab.toy.vanishing import offset_gradient, shifted_points, train_vanishing
from stargan_lab.training.diagnostics import share_at_bound

SMALL = ["critic.width=16", "critic.layers=3", "batch_size=64"]


def small(*overrides: str, distribution: str = "swiss_roll") -> ToyConfig:
    return compose_toy(distribution, [*SMALL, *overrides])


def critic(width: int = 16, layers: int = 4, **options: Any) -> ToyCritic:
    options = {"norm": "none", "norm_options": None, "norm_affine": True} | options
    return ToyCritic(width=width, layers=layers, **options)


@pytest.mark.parametrize("name", family("distribution").names())
def test_points_depend_on_the_seed_alone_and_lie_within_reach_of_the_noise(name: str) -> None:
    points = sample(name, 1000, generator_for(0, "test"))
    assert points.shape == (1000, 2, 1, 1)
    assert torch.equal(points, sample(name, 1000, generator_for(0, "test")))
    assert not torch.equal(points, sample(name, 1000, generator_for(1, "test")))
    assert 1 < points.abs().max() < 2.2
    assert points.mean((0, 2, 3)).abs().max() < 0.4


@pytest.mark.parametrize(
    ("name", "modes", "radii"), [("eight_gaussians", 8, {1.414}), ("twentyfive_gaussians", 25, None)]
)
def test_gaussians_have_their_modes(name: str, modes: int, radii: set[float] | None) -> None:
    points = sample(name, 2000, generator_for(0, "test"), noise=0.0).flatten(1)
    found = torch.unique((points * 1e3).round(), dim=0) / 1e3
    assert len(found) == modes
    if radii is not None:
        assert {round(float(radius), 2) for radius in found.norm(dim=1)} == {round(radius, 2) for radius in radii}


def test_the_swiss_roll_without_noise_is_a_spiral() -> None:
    """Its radius is the angle / 7.5, so that (cos r·7.5, sin r·7.5) is the direction."""
    points = sample("swiss_roll", 500, generator_for(0, "test"), noise=0.0).flatten(1)
    angle = 7.5 * points.norm(dim=1)
    assert angle.min() >= 1.5 * math.pi - 1e-4 and angle.max() <= 4.5 * math.pi + 1e-4
    direction = torch.stack([angle.cos(), angle.sin()], 1)
    torch.testing.assert_close(points / points.norm(dim=1, keepdim=True), direction, rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", [name for name in family("discriminator_norm").names() if name != "instance"])
def test_the_critic_has_the_requested_layers_and_norms(norm: str) -> None:
    network = critic(16, 5, norm=norm)
    initialize_critic(network, 0, None)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [16, 16, 16, 16, 1]
    assert network(torch.randn(6, 2, 1, 1)).shape == (6, 1, 1, 1)
    if norm == "spectral":
        for convolution in convolutions:
            assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2) > 0
        points = torch.randn(200, 2, 1, 1)
        slopes = (network(points) - network(points.flip(0))).flatten().abs() / (points - points.flip(0)).norm(
            dim=1
        ).flatten()
        assert slopes.nan_to_num().max() < 1.05


@pytest.mark.parametrize("bound", [0.1, 0.001])
def test_weights_start_inside_the_box(bound: float) -> None:
    network = critic(64, 6)
    initialize_critic(network, 0, bound)
    weights = torch.cat([parameter.flatten() for parameter in network.parameters()])
    assert weights.abs().max() <= bound
    assert 0.002 < share_at_bound(network, bound) < 0.05  # uniform: 1 % are within 1 % of the ends
    assert weights.abs().max() > 0.98 * bound


def test_unbounded_weights_are_hes() -> None:
    network = critic(64, 4)
    initialize_critic(network, 0, None)
    hidden = network.main[2].weight
    assert hidden.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert not network.main[2].bias.any()


def test_gradients_of_a_linear_critic_are_its_slope() -> None:
    network = nn.Conv2d(2, 1, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))
    wgan, minimax = (family("adversarial").build(name) for name in ("wgan", "minimax"))
    fake = torch.zeros(10, 2, 1, 1)
    assert per_point_gradient(wgan, network, fake) == pytest.approx(5.0)  # type: ignore[arg-type]
    assert offset_gradient(wgan, network, fake) == pytest.approx(5.0)  # type: ignore[arg-type]
    with torch.no_grad():
        network.bias.fill_(-100.0)  # rejects every point: log(1 - D) is flat
    assert offset_gradient(minimax, network, fake) < 1e-30  # type: ignore[arg-type]


def test_fake_points_are_noisy_or_shifted_real_ones() -> None:
    config = small("distribution.noise=0", "vanishing.offset=7", distribution="eight_gaussians")
    real, noisy = noisy_points(config)("test", 0, 4000)
    _, shifted = shifted_points(config)("test", 0, 4000)
    assert float(noisy.var(0).mean()) == pytest.approx(float(real.var(0).mean()) + 1, rel=0.1)
    assert float(shifted.mean(0)[0]) == pytest.approx(7, abs=0.1) and abs(float(shifted.mean(0)[1])) < 0.1


def test_training_is_reproducible_and_ends_with_measurements() -> None:
    config = small("steps=7", "every=3")
    calls: list[str] = []
    first, second = (train_critics(config, lambda name: lambda: calls.append(name)) for _ in range(2))
    assert calls.count("gp") == 14
    for name, each in first.items():
        assert each.steps == [0, 3, 6, 7]
        assert each.history == second[name].history
        assert len(each.layer_gradient_norms) == 3
        assert all(len(series) == 4 for series in each.history.values())
    bounds = {name: c.options["bound"] for name, c in config.constraints.items() if c.name == "clip"}
    assert len(bounds) == 3
    for name, bound in bounds.items():
        weights = [parameter.abs().max() for parameter in first[name].critic.parameters()]
        assert max(weights) <= bound
        assert first[name].share_at_bound_end == share_at_bound(first[name].critic, bound)


@pytest.mark.parametrize("loss", family("adversarial").names())
def test_every_loss_and_optimizer_trains(loss: str) -> None:
    for optimizer in family("optimizer").names():
        config = small("steps=3", f"adversarial={loss}", f"optimizer={optimizer}", "+constraints.free={kind: none}")
        trained = train_critics(config, lambda name: lambda: None)
        assert len(trained) == 5
        for each in trained.values():
            assert all(math.isfinite(value) for series in each.history.values() for value in series)


def test_a_better_critic_starves_the_minimax_generator_but_not_vanillas_and_wgans() -> None:
    config = small("vanishing.steps=200", "optimizer.d_lr=0.01", "every=10")
    gradients = {
        name: each.history["generator_gradient"]
        for name, each in train_vanishing(config, lambda _: lambda: None).items()
    }
    late = {name: statistics.median(series[len(series) // 2 :]) for name, series in gradients.items()}
    assert late["minimax"] < 0.1 * max(gradients["minimax"])
    assert late["wgan"] == pytest.approx(1.25, rel=0.2)  # 1 + offset / 2λ; a single value may be 20 % off
    assert late["vanilla"] > 100 * late["minimax"]


@pytest.mark.parametrize(
    ("distribution", "override", "message"),
    [
        ("swis_roll", "", "distribution: unknown distribution 'swis_roll'; did you mean 'swiss_roll'?"),
        ("swiss_roll", "stepz=3", "stepz: unknown key; did you mean 'steps'?"),
        ("swiss_roll", "constraints.gp.wight=1", "did you mean 'constraints.gp.weight'?"),
        ("swiss_roll", "+constraints.gp.wight=1", "constraints.gp.wight: unknown key; did you mean 'weight'?"),
        ("swiss_roll", "constraints.gp.weight=-1", "constraints.gp.weight: expected at least 0"),
        (
            "swiss_roll",
            "constraints.gp.kind=clop",
            "constraints.gp.kind: unknown lipschitz 'clop'; did you mean 'clip'?",
        ),
        ("swiss_roll", "critic.norm=instance", "critic.norm: instance norm of a single point is always zero"),
        ("swiss_roll", "critic.norm=laier", "critic.norm: unknown discriminator norm 'laier'; did you mean 'layer'?"),
        ("swiss_roll", "critic.norm=spectral", "constraints.clip_1e-1: clip has no effect with critic.norm=spectral"),
        (
            "swiss_roll",
            "vanishing.losses=[wgam]",
            "vanishing.losses: unknown adversarial loss 'wgam'; did you mean 'wgan'?",
        ),
        ("swiss_roll", "constraints={}", "constraints={}: would be merged with the default constraints; drop one with"),
        ("swiss_roll", "+constraints={free: {kind: none}}", "add one with '+constraints.NAME={kind: KIND}'"),
        ("swiss_roll", "optimizer.d_l=1", "optimizer.d_l: unknown key; did you mean 'optimizer.d_lr'?"),
        ("swiss_roll", "distribution.noise=-1", "distribution.noise: expected at least 0"),
    ],
)
def test_invalid_configurations_are_refused_in_one_line(distribution: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose_toy(distribution, [override] if override else [])
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_an_unbounded_wgan_critic_is_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"constraints.free: the critic is not Lipschitz-bounded"):
        compose_toy("swiss_roll", ["+constraints.free={kind: none}"])


def test_a_norm_that_couples_points_is_warned_about_under_a_penalty_per_point() -> None:
    with pytest.warns(UserWarning) as caught:
        compose_toy("swiss_roll", ["critic.norm=batch"])
    assert [str(warning.message) for warning in caught] == [
        "constraints.gp: gp is per point, but with critic.norm=batch a point's score depends on the other points in the"
        " batch"
    ]


@pytest.mark.filterwarnings("ignore")
def test_an_update_scores_real_and_generated_points_separately() -> None:
    """As in training and when measuring, so that batch norm has the same meaning in all three."""
    config = small("critic.norm=batch")
    network, passes = critic(4, 3, norm="batch"), []
    network.register_forward_pre_hook(lambda _module, inputs: passes.append(inputs[0]))
    points = shifted_points(config)("test", 0, 8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    wgan, free = family("adversarial").build("wgan"), family("lipschitz").build("none")
    _update(network, optimizer, wgan, free, points, (config, 0))
    assert [torch.equal(scored, group) for scored, group in zip(passes, points, strict=True)] == [True, True]


def test_the_configuration_in_the_record_can_be_validated_again() -> None:
    from stargan_lab.config.toy import validate_toy

    config = small("critic.norm=layer")
    assert validate_toy(config.flat()) == config
