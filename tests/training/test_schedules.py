"""Learning-rate schedules against the reference's traced rates and by hand."""

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
WHOLE = [trace for trace in TRACES if "resume_iters" not in trace]


def rates(name: str, total: int, first: float = 1.0, **options: Any) -> list[float]:
    schedule = family("schedule").get(name)
    return [first * schedule(iteration, total, **options) for iteration in range(1, total + 1)]


@pytest.mark.parametrize("trace", WHOLE, ids=lambda trace: f"every {trace['lr_update_step']}")
def test_the_references_traces(trace: dict[str, Any]) -> None:
    options = {"decay_steps": trace["num_iters_decay"], "every": trace["lr_update_step"]}
    used = rates("reference", trace["num_iters"], trace["lr0"], **options)
    assert used == pytest.approx(trace["lr_used"], rel=1e-12, abs=1e-20)
    after = trace["lr0"] * family("schedule").get("reference")(trace["num_iters"] + 1, trace["num_iters"], **options)
    assert after == pytest.approx(trace["lr_after"], abs=1e-18)


def test_a_resumed_run_goes_on_where_the_reference_starts_anew() -> None:
    """The reference resumes at its initial rate; a function of the iteration cannot."""
    (resumed,) = (trace for trace in TRACES if "resume_iters" in trace)
    whole = next(t for t in WHOLE if t["lr_update_step"] == resumed["lr_update_step"])
    first = resumed["resume_iters"] + 1
    assert resumed["lr_used"][0] == resumed["lr0"]
    assert 1e-4 * family("schedule").get("reference")(first, 12, decay_steps=6, every=1) == pytest.approx(
        whole["lr_used"][first - 1]
    )


def decremented(total: int, decay: int, every: int) -> list[float]:
    """The reference's rule as a loop: after iteration i, one decrement when i is due and past the start."""
    rate, used = 1.0, []
    for i in range(1, total + 1):
        used.append(rate)
        if i % every == 0 and i > total - decay:
            rate -= 1 / decay
    return used


@pytest.mark.parametrize("total", [1, 10, 12, 37])
@pytest.mark.parametrize("decay", [1, 6, 12, 50])
@pytest.mark.parametrize("every", [1, 2, 5, 7])
def test_the_references_rule(total: int, decay: int, every: int) -> None:
    used = rates("reference", total, decay_steps=decay, every=every)
    assert used == pytest.approx(decremented(total, decay, every), abs=1e-12)


def test_the_references_defaults_hardly_decay() -> None:
    reference = family("schedule").get("reference")
    assert reference(100_000, 200_000) == reference(101_000, 200_000) == 1
    assert reference(101_001, 200_000) == pytest.approx(1 - 1e-5, abs=1e-15)
    assert reference(200_001, 200_000) == pytest.approx(0.999, abs=1e-15)


@pytest.mark.parametrize(
    ("total", "options", "expected"),
    [
        (4, {}, [1, 1, 1, 0.5]),
        (8, {"decay_steps": 4}, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (4, {"decay_steps": 4}, [1, 0.75, 0.5, 0.25]),
        (4, {"decay_steps": 100}, [1, 0.75, 0.5, 0.25]),
        (5, {"decay_steps": 1}, [1, 1, 1, 1, 1]),
        (1, {}, [1]),
    ],
)
def test_linear_by_hand(total: int, options: dict[str, Any], expected: list[float]) -> None:
    assert rates("linear", total, **options) == pytest.approx(expected)


def test_linear_is_the_references_rule_with_a_decrement_each_iteration() -> None:
    assert rates("linear", 12, decay_steps=6) == pytest.approx(rates("reference", 12, decay_steps=6, every=1))


def test_constant() -> None:
    assert rates("constant", 5) == [1.0] * 5


@pytest.mark.parametrize("name", family("schedule").names())
def test_every_schedule_is_a_factor_that_never_rises(name: str) -> None:
    for total in (1, 2, 3, 50):
        used = rates(name, total)
        assert used[0] == 1.0
        assert all(1 >= before >= after >= 0 for before, after in pairwise(used))


@pytest.mark.parametrize("name", family("optimizer").names())
def test_an_optimizer_gives_each_network_its_rate(name: str) -> None:
    parameters = [nn.Parameter(torch.ones(2))]
    for network, rate in (("generator", 0.25), ("critic", 0.125)):
        built = family("optimizer").build(name, parameters, network, g_lr=0.25, d_lr=0.125)
        assert [group["lr"] for group in built.param_groups] == [rate]


def test_adam_is_the_references() -> None:
    """lr, betas 0.5 and 0.999, eps 1e-8, no weight decay; the first step moves each weight by the rate."""
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64))
    adam = family("optimizer").build("adam", [weight], "critic")
    (group,) = adam.param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-8, 0)
    (weight * torch.tensor([2.0, -3.0, 0.0])).sum().backward()
    adam.step()
    assert weight.tolist() == pytest.approx([1 - 1e-4, 1 + 1e-4, 1.0], rel=1e-9)
