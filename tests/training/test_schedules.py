"""Learning-rate schedules against the reference's traced rates and hand-computed values; and optimizers."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stargan_lab.registry import family

GOLDEN = Path(__file__).parents[1] / "reference" / "golden_small.json"
TRACES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["lr_traces"]
UNINTERRUPTED = [trace for trace in TRACES if "resume_iters" not in trace]


def rates(name: str, total: int, first: float = 1.0, **options: Any) -> list[float]:
    schedule = family("schedule").get(name)
    return [first * schedule(iteration, total, **options) for iteration in range(1, total + 1)]


@pytest.mark.parametrize("trace", UNINTERRUPTED, ids=lambda trace: f"every {trace['lr_update_step']}")
def test_reference_schedule_follows_the_reference_codes_traces(trace: dict[str, Any]) -> None:
    options = {"decay_steps": trace["num_iters_decay"], "every": trace["lr_update_step"]}
    used = rates("reference", trace["num_iters"], trace["lr0"], **options)
    assert used == pytest.approx(trace["lr_used"], rel=1e-12, abs=1e-20)
    after = trace["lr0"] * family("schedule").get("reference")(trace["num_iters"] + 1, trace["num_iters"], **options)
    assert after == pytest.approx(trace["lr_after"], abs=1e-18)


def test_a_resumed_run_continues_the_decay_unlike_the_reference() -> None:
    """The reference resumes at its initial rate."""
    (resumed,) = (trace for trace in TRACES if "resume_iters" in trace)
    full = next(t for t in UNINTERRUPTED if t["lr_update_step"] == resumed["lr_update_step"])
    first = resumed["resume_iters"] + 1
    assert resumed["lr_used"][0] == resumed["lr0"]
    assert 1e-4 * family("schedule").get("reference")(first, 12, decay_steps=6, every=1) == pytest.approx(
        full["lr_used"][first - 1]
    )


def decremented(total: int, decay: int, every: int) -> list[float]:
    """The reference's loop: in the decay, one decrement after each iteration divisible by ``every``."""
    rate, used = 1.0, []
    for i in range(1, total + 1):
        used.append(rate)
        if i % every == 0 and i > total - decay:
            rate -= 1 / decay
    return used


@pytest.mark.parametrize(("total", "decay", "every"), [(37, 12, 5), (10, 50, 7), (12, 6, 2), (1, 1, 1)])
def test_reference_schedule_equals_the_reference_codes_loop(total: int, decay: int, every: int) -> None:
    used = rates("reference", total, decay_steps=decay, every=every)
    assert used == pytest.approx(decremented(total, decay, every), abs=1e-12)


def test_reference_schedule_hardly_decays_with_its_defaults() -> None:
    reference = family("schedule").get("reference")
    assert reference(100_000, 200_000) == reference(101_000, 200_000) == 1
    assert reference(101_001, 200_000) == pytest.approx(1 - 1e-5, abs=1e-15)
    assert reference(200_001, 200_000) == pytest.approx(0.999, abs=1e-15)


@pytest.mark.parametrize(
    ("total", "options", "expected"),
    [
        (4, {}, [1, 1, 1, 0.5]),
        (8, {"decay_steps": 4}, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (4, {"decay_steps": 100}, [1, 0.75, 0.5, 0.25]),
    ],
)
def test_linear_schedule_matches_hand_computed_values(
    total: int, options: dict[str, Any], expected: list[float]
) -> None:
    assert rates("linear", total, **options) == pytest.approx(expected)


@pytest.mark.parametrize("name", family("schedule").names())
def test_every_schedule_starts_at_one_and_never_rises(name: str) -> None:
    for total in (1, 2, 3, 50):
        used = rates(name, total)
        assert used[0] == 1.0
        assert all(1 >= before >= after >= 0 for before, after in pairwise(used))


@pytest.mark.parametrize("name", family("optimizer").names())
def test_each_network_gets_its_learning_rate(name: str) -> None:
    parameters = [nn.Parameter(torch.ones(2))]
    for network, rate in (("generator", 0.25), ("discriminator", 0.125)):
        built = family("optimizer").build(name, parameters, network, g_lr=0.25, d_lr=0.125)
        assert [group["lr"] for group in built.param_groups] == [rate]


def test_adam_has_the_references_settings() -> None:
    """lr, betas 0.5 and 0.999, eps 1e-8, no weight decay; the first step moves each weight by the rate."""
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64))
    adam = family("optimizer").build("adam", [weight], "discriminator")
    (group,) = adam.param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-8, 0)
    (weight * torch.tensor([2.0, -3.0, 0.0])).sum().backward()
    adam.step()
    assert weight.tolist() == pytest.approx([1 - 1e-4, 1 + 1e-4, 1.0], rel=1e-9)
