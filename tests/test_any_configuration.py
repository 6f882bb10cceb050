"""Random legal configurations, and all combinations of losses, constraints and optimizers, train both networks."""

import random
from collections import Counter
from copy import deepcopy
from itertools import product
from typing import Any

import pytest
import torch
from tiny import TWO, make_batch

from stargan_lab import compose
from stargan_lab.config import RunConfig
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family
from stargan_lab.runs.build import build_loop_plan, build_objective, build_train_state
from stargan_lab.training.updates import step_randomness, train_step

LEGAL = 220
NUMBERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "generator": {"width": (3, 4, 8), "blocks": (0, 1, 2), "depth": (2, 3, 4), "affine": (None, True, False)},
    "discriminator": {"width": (1, 4, 6), "depth": (1, 2, 3, 4, 5), "bias": (True, False, (0,), (1, 2), (0, 3))},
    "lipschitz": {"weight": (0.0, 1.0, 10.0), "samples": (1, 3), "reduction": ("sum", "mean"), "bound": (0.01, 0.5)},
    "optimizer": {"beta1": (0.0, 0.5), "g_lr": (1e-3, 1e-2)},
    "schedule": {"decay_steps": (1, 5), "every": (1, 2)},
}
"""Values to try; other booleans are tried both ways, other options keep their defaults."""


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return compose(["preset=tiny"]).flat()


def random_component(group: str, dice: random.Random) -> dict[str, Any]:
    name = dice.choice(family(group).names())
    chosen: dict[str, Any] = {"name": name}
    references = family(group).references(name)
    for option, parameter in family(group).options(name).items():
        if option in references:
            chosen[option] = dice.choice(family(references[option]).names())
        elif option in NUMBERS.get(group, {}):
            chosen[option] = dice.choice(NUMBERS[group][option])
        elif parameter.annotation is bool:
            chosen[option] = dice.choice((True, False))
    return chosen


def random_configuration(base: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    raw = deepcopy(base) | {group: random_component(group, dice) for group in COMPONENTS}
    raw["data"]["image_size"] = dice.choice((8, 12, 16, 32))
    raw |= {"batch_size": dice.choice((1, 2, 5)), "n_critic": dice.choice((1, 2)), "seed": dice.randrange(1000)}
    raw["targets"] = dice.choice(family("targets").names())
    raw["ema"]["decay"] = dice.choice((0.0, 0.9))
    raw["weights"] = {"cls": dice.choice((0.0, 1.0)), "rec": dice.choice((0.0, 10.0))}
    raw["trainer"]["precision"] = dice.choice(("float32", "bfloat16", "float64"))
    raw["trainer"]["channels_last"] = dice.choice((True, False))
    return raw


def train_steps(config: RunConfig) -> set[str]:
    """Train until the generator has two updates; every parameter with a gradient must change.

    Returns the names of the losses.
    """
    train_state, objective, plan = build_train_state(config, TWO), build_objective(config, TWO), build_loop_plan(config)
    networks = {"generator": train_state.generator, "critic": train_state.critic}
    before = {name: {k: p.detach().clone() for k, p in net.named_parameters()} for name, net in networks.items()}
    with_gradient: set[tuple[str, str]] = set()
    updates, step, losses = 0, 0, set[str]()
    while updates < 2:
        step += 1
        due = plan.iteration(step) % plan.n_critic == 0
        updates += due
        assert 0 <= plan.schedule(plan.iteration(step), 8) <= 1
        batch = make_batch(TWO, step, n=config.batch_size, size=config.data.image_size)
        randomness = step_randomness(config.seed, step, config.batch_size, objective.lipschitz.samples)
        parts = train_step(train_state, objective, batch, randomness, update_generator=due)
        losses |= set(parts)
        assert {"g_rec" in parts, due} == {due}
        assert all(part.isfinite() and part.ndim == 0 for part in parts.values()), parts
        with_gradient |= {
            (name, key)
            for name, net in networks.items()
            for key, p in net.named_parameters()
            if p.grad is not None and p.grad.abs().max() > 1e-12
        }
    assert {name for name, _ in with_gradient} == set(networks)
    for name, net in networks.items():
        for key, parameter in net.named_parameters():
            assert parameter.isfinite().all(), (name, key)
            assert (name, key) not in with_gradient or not torch.equal(parameter, before[name][key]), (name, key)
    return losses


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_legal_configurations_train(base: dict[str, Any]) -> None:
    dice = random.Random(20181)
    trained, used, refused = 0, Counter[tuple[str, str]](), Counter[str]()
    while trained < LEGAL:
        raw = random_configuration(base, dice)
        try:
            config = validate(raw)
        except ConfigError as error:
            refused[str(error).split(":")[0]] += 1
            continue
        try:
            train_steps(config)
        except Exception as error:
            raise AssertionError(f"legal, but training fails: {raw}") from error
        trained += 1
        for group in COMPONENTS:
            used[group, getattr(config, group).name] += 1
            component = getattr(config, group)
            for option, referenced in family(group).references(component.name).items():
                used[referenced, component.options[option]] += 1
    assert set(refused) == {
        "generator.depth",
        "generator.affine",
        "generator.norm",
        "generator.padding",
        "discriminator.depth",
        "discriminator.bias",
        "discriminator.norm",
        "lipschitz",
    }
    families = {name for name, _ in used}
    assert families >= {*COMPONENTS, "norm", "discriminator_norm", "conditioning", "output", "padding", "head"}
    for entry in ((name, entry) for name in families for entry in family(name).names()):
        assert used[entry] >= 10, entry


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("adversarial", family("adversarial").names())
def test_every_loss_trains_with_every_constraint_and_optimizer(base: dict[str, Any], adversarial: str) -> None:
    for lipschitz, optimizer in product(family("lipschitz").names(), family("optimizer").names()):
        chosen = {"adversarial": adversarial, "lipschitz": lipschitz, "optimizer": optimizer}
        losses = train_steps(validate(deepcopy(base) | {group: {"name": name} for group, name in chosen.items()}))
        assert ("d_gp" in losses) == (lipschitz == "gp")
