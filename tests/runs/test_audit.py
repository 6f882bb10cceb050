"""The audit of a run: values by hand, the FLOPs of a real step, and that it changes nothing."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from tiny import ONE, TWO, make_batch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stargan_lab import compose
from stargan_lab.checkpoints.train_state import state_sha256
from stargan_lab.config import RunConfig
from stargan_lab.labels import LabelLayout
from stargan_lab.models import few_outputs
from stargan_lab.registry import family
from stargan_lab.runs.audit import Audit, audit
from stargan_lab.runs.build import build_loop_plan, build_objective, build_train_state
from stargan_lab.training.updates import TrainState, step_randomness, train_step

TINY = ("preset=tiny", "trainer.device=cpu", "data.image_size=16")
CHOICES = [
    f"{key}={name}"
    for key, group in {
        "generator": "generator",
        "discriminator": "discriminator",
        "discriminator.norm": "discriminator_norm",
        "discriminator.head": "head",
        "adversarial": "adversarial",
        "lipschitz": "lipschitz",
        "targets": "targets",
    }.items()
    for name in family(group).names()
]
CHOICES += ["trainer.precision=float64", "trainer.precision=bfloat16", "trainer.channels_last=true", "ema.decay=0.9"]


class AllModules(nullcontext[None]):
    """Replaces hooks on modules, which do not support the penalty's gradient with respect to images."""

    parents = ("Global",)


def audited(*overrides: str, layout: LabelLayout = ONE) -> tuple[Audit, TrainState, RunConfig]:
    config = compose([*TINY, *overrides])
    state = build_train_state(config, layout)
    plan = replace(build_loop_plan(config), sources=len(layout.specs))
    return audit(config, state.generator, state.critic, build_objective(config, layout), plan), state, config


def test_values_by_hand() -> None:
    record, state, _ = audited(
        "discriminator.width=4",
        "discriminator.depth=2",
        "batch_size=6",
        "total_steps=10",
        "n_critic=3",
        "weights.rec=7",
    )
    assert record["parameters.generator"] == sum(p.numel() for p in state.generator.parameters())
    assert record["parameters.discriminator"] == (3 * 4 * 16 + 4) + (4 * 8 * 16 + 8) + 8 * 9 + 8 * 16 * 3
    assert record["parameters.score_head"] == 8 * 9  # 3x3, without bias
    assert record["parameters.label_head"] == 8 * 16 * 3  # 4x4, three labels
    convolutions = 8 * 8 * 4 * (3 * 16) + 4 * 4 * 8 * (4 * 16)
    assert record["flops.discriminator"] == 2 * (convolutions + 4 * 4 * (8 * 9) + 3 * (8 * 16))
    assert record["scores_per_image"] == 16
    assert (record["receptive_field.convolutions"], record["receptive_field.in_image"]) == (18, 16)
    assert (record["penalty.samples"], record["penalty.sums_scores"], record["penalty.slope"]) == (1, 1, 1 / 16)
    assert (record["updates.discriminator"], record["updates.generator"], record["updates.n_critic"]) == (10, 3, 3)
    assert (record["images.batch_size"], record["images.total"]) == (6, 60)
    assert (record["weights.g_rec"], record["weights.d_gp"]) == (7, 10)
    critic, generator = record["flops.discriminator_update"], record["flops.generator_update"]
    assert record["flops.iteration"] == 3 * critic + generator
    assert record["flops.run"] == 10 * critic + 3 * generator
    assert json.loads(json.dumps(record)) == record and all(type(v) in (int, float) for v in record.values())


def test_several_datasets_and_further_terms() -> None:
    record, *_ = audited("total_steps=7", "n_critic=2", "batch_size=4", "+terms.total_variation.weight=0.5", layout=TWO)
    assert record["updates.generator"] == 3  # steps 3, 4 and 7: both datasets in iteration 2, the first in iteration 4
    assert (record["images.of.faces"], record["images.of.moods"], record["images.total"]) == (16, 12, 28)
    assert record["weights.total_variation"] == 0.5


@pytest.mark.parametrize("norm", ["none", "instance", "batch", "spectral"])
def test_flops_are_those_of_a_real_step(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every convolution as one, since the audit must not depend on the device."""
    monkeypatch.setattr(few_outputs, "OUTPUTS", 0)
    record, state, config = audited(f"discriminator.norm={norm}", "n_critic=1", "batch_size=4", "lipschitz.samples=2")
    randomness = step_randomness(0, 1, 4, 2)
    counts = []
    for update_generator in (False, True):
        flops = FlopCounterMode(display=False)
        flops.mod_tracker = AllModules()
        with flops:
            train_step(state, build_objective(config, ONE), make_batch(ONE), randomness, update_generator)
        counts.append(flops.get_total_flops())
    assert counts == [record["flops.discriminator_update"], record["flops.iteration"]]


@pytest.mark.parametrize(("norm", "field"), [("none", 18), ("spectral", 18), ("instance", 32), ("layer", 32)])
def test_norms_extend_what_a_score_depends_on(norm: str, field: int) -> None:
    record, *_ = audited("data.image_size=32", "discriminator.depth=2", f"discriminator.norm={norm}")
    assert record["receptive_field.convolutions"] == 18
    assert record["receptive_field.in_image"] == field


def test_flops_grow_with_the_penalty() -> None:
    one, two, none = (audited(o)[0] for o in ("lipschitz.samples=1", "lipschitz.samples=2", "lipschitz=none"))
    per_sample = two["flops.discriminator_update"] - one["flops.discriminator_update"]
    assert one["flops.discriminator_update"] - none["flops.discriminator_update"] == per_sample > 0
    assert none["penalty.samples"] == 0 and not {"penalty.slope", "penalty.sums_scores"} & set(none)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_penalty_is_zero_at_the_recorded_slope_of_the_mean_score(reduction: str) -> None:
    record, _, config = audited(f"lipschitz.reduction={reduction}", "discriminator.depth=3")
    weights = torch.rand(3 * 16 * 16)
    weights *= record["penalty.slope"] / weights.norm()

    def scores(images: Tensor) -> Tensor:
        """Every score of an image, and so their mean, has the slope."""
        return (images.flatten(1) @ weights)[:, None].expand(-1, int(record["scores_per_image"]))

    batch = make_batch(ONE).images
    constraint = build_objective(config, ONE).lipschitz
    penalty = constraint.penalty(scores, batch, -batch, torch.rand(1, len(batch), 1, 1, 1))
    assert penalty is not None and penalty.item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_component_is_measured(choice: str, capsys: pytest.CaptureFixture[str]) -> None:
    record, *_ = audited(choice, "batch_size=2")
    measured = {"flops.generator", "flops.iteration", "parameters.score_head", "receptive_field.in_image"}
    assert measured <= set(record)
    assert "not measured" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_nothing_changes(norm: str) -> None:
    config = compose(
        [*TINY, "data.image_size=32", "discriminator.depth=2", f"discriminator.norm={norm}", "ema.decay=0.9"]
    )
    state, objective, plan = build_train_state(config, ONE), build_objective(config, ONE), build_loop_plan(config)
    state.critic.main.append(nn.Dropout())  # draws random numbers
    state.critic.conv1.eval()

    def snapshot() -> list[object]:
        networks = state.generator, state.critic
        modes = [module.training for network in networks for module in network.modules()]
        gradients = [p.grad for network in networks for p in network.parameters()]
        return [state_sha256(state), torch.get_rng_state().tolist(), modes, gradients, torch.is_grad_enabled()]

    before = snapshot()
    audit(config, state.generator, state.critic, objective, plan)
    assert snapshot() == before


class Undecided(nn.Module):
    """A discriminator whose shapes depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv(images)
        if features.sum() > 0:
            features = -features
        return features[:, :1], features[:, 1:].mean((2, 3))


def test_what_cannot_be_measured_is_missing_and_noted(capsys: pytest.CaptureFixture[str]) -> None:
    config = compose(list(TINY))
    state, objective = build_train_state(config, ONE), build_objective(config, ONE)
    record = audit(config, state.generator, Undecided(), objective, build_loop_plan(config))
    assert record["parameters.discriminator"] == 3 * 4 * 9 + 4
    assert record["receptive_field.in_image"] == 3
    assert not any(key.startswith("flops.") for key in record) and "penalty.slope" not in record
    notes = "".join(capsys.readouterr())
    assert "note: audit: networks: not measured" in notes and "FLOPs of a step: not measured" in notes
