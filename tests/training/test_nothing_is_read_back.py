"""A step waits for nothing on its device: it runs on tensors without values, of which none can be read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import LAYOUTS, ONE, TWO, make_batch, make_critic, make_generator, make_objective

from stargan_lab.labels import LabelLayout
from stargan_lab.losses.objective import Objective
from stargan_lab.losses.step import Step
from stargan_lab.registry import family
from stargan_lab.training.ema import Ema
from stargan_lab.training.updates import Execution, TrainState, step_randomness, train_step

TERMS = [name for name in family("loss_term").names() if name[:2] not in ("d_", "g_")]


def without_values(
    layout: LabelLayout, generator: dict[str, Any] | None = None, critic: dict[str, Any] | None = None
) -> TrainState:
    """With torch's SGD, since its fused Adam refuses such tensors."""
    device = torch.device("meta")
    networks = (
        make_generator(layout.generator_width, **generator or {}).to(device),
        make_critic(layout.critic_width, **critic or {}).to(device),
    )
    optimizers = (torch.optim.SGD(network.parameters(), 1e-3) for network in networks)
    return TrainState(*networks, *optimizers, Ema(networks[0], 0.9), device, Execution(joint_pass=True))


def train(state: TrainState, objective: Objective) -> None:
    for step in range(1, len(objective.layout.specs) + 1):
        randomness = step_randomness(0, step, 4, objective.lipschitz.samples)
        losses = train_step(state, objective, make_batch(objective.layout, step), randomness, update_generator=True)
        assert {"d_real", "g_rec"} < set(losses) and all(value.is_meta for value in losses.values())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("lipschitz", family("lipschitz").names())
def test_constraints(layout: LabelLayout, lipschitz: str) -> None:
    train(without_values(layout), make_objective(layout, lipschitz))


@pytest.mark.parametrize("adversarial", family("adversarial").names())
def test_adversarial_losses(adversarial: str) -> None:
    loss = family("adversarial").build(adversarial)
    train(without_values(ONE), replace(make_objective(ONE), adversarial=loss))


@pytest.mark.parametrize("targets", family("targets").names())
def test_target_labels(targets: str) -> None:
    train(without_values(TWO), make_objective(TWO, targets=family("targets").get(targets)))


@pytest.mark.parametrize("term", TERMS)
def test_further_terms(term: str) -> None:
    extra = {term: (1.0, family("loss_term").build(term))}
    train(without_values(ONE), make_objective(ONE, extra=extra))


@pytest.mark.parametrize("norm", family("discriminator_norm").names())
def test_norms_of_the_discriminator(norm: str) -> None:
    train(without_values(ONE, critic={"norm": norm}), make_objective(ONE))


@pytest.mark.parametrize("name", family("generator").names())
@pytest.mark.parametrize("conditioning", family("conditioning").names())
def test_generators(name: str, conditioning: str) -> None:
    options = {"affine": False} if conditioning == "adain" else {}
    generator = {"name": name, "conditioning": conditioning, "norm": "group", **options}
    train(without_values(ONE, generator), make_objective(ONE))


class Reads:
    network = "generator"

    def __init__(self, read: Callable[[torch.Tensor], Any]) -> None:
        self.read = read

    def __call__(self, step: Step) -> torch.Tensor:
        return step.fake.mean() * self.read(step.fake.detach().mean())


@pytest.mark.parametrize("read", [float, bool, torch.Tensor.cpu, torch.Tensor.tolist])
def test_a_term_that_reads_a_value_is_noticed(read: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        train(without_values(ONE), make_objective(ONE, extra={"reads": (1.0, Reads(read))}))
