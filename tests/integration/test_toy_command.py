"""``stargan-lab toy swiss_roll`` with its defaults: gradients and weights under clipping and under the penalty."""

import json
import math
import resource
import statistics
from pathlib import Path
from typing import Any

import pytest
from processes import Lab

PATIENCE = 1200.0
"""Seconds; the command takes about one minute on two idle cores."""

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    lab = Lab(tmp_path_factory.mktemp("toy"))
    process = lab.start("toy", "swiss_roll")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _, err = process.communicate(timeout=PATIENCE)  # waits for the process, whose usage then counts
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, err
    assert {path.name for path in Path(lab.folder).iterdir()} == {"outputs"}
    content: dict[str, Any] = json.loads((lab.outputs / "toy" / "swiss_roll" / "toy.json").read_text())
    content["cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return content


def test_the_command_takes_less_than_three_minutes_of_cpu_time(record: dict[str, Any]) -> None:
    """30 to 45 s were seen; wall time would measure what else the machine does."""
    assert 1 < record["cpu_seconds"] < 180


def by_kind(record: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in record["constraints"].values() if each["kind"] == kind]


def decades(each: dict[str, Any]) -> float:
    """log10 of the gradient norm at the first layer over that at the last."""
    norms = each["layer_gradient_norms"]
    return math.log10(norms[0] / norms[-1])


def test_gradients_explode_or_vanish_under_clipping_but_not_under_the_penalty(record: dict[str, Any]) -> None:
    clipped, (penalized,) = by_kind(record, "clip"), by_kind(record, "gp")
    assert sorted(each["bound"] for each in clipped) == [0.001, 0.01, 0.1]
    assert all(len(each["layer_gradient_norms"]) == 12 for each in [*clipped, penalized])
    assert sum(abs(decades(each)) > 2 for each in clipped) >= 2
    assert max(map(decades, clipped)) > 2 and min(map(decades, clipped)) < -2  # both happen
    assert abs(decades(penalized)) < 1


def test_weights_start_inside_the_box_and_pile_up_at_its_ends(record: dict[str, Any]) -> None:
    clipped, (penalized,) = by_kind(record, "clip"), by_kind(record, "gp")
    assert all(each["share_at_bound_start"] < 0.05 for each in [*clipped, penalized])
    assert max(each["share_at_bound_end"] for each in clipped) >= 0.3
    assert penalized["share_at_bound_end"] < 0.05


def test_the_penalized_critic_separates_the_points_with_gradients_near_one(record: dict[str, Any]) -> None:
    (penalized,) = by_kind(record, "gp")
    assert penalized["critic_gap"][-1] > 0.3
    assert 0.5 < penalized["gradient_norm"] < 2


def test_the_minimax_gradient_vanishes_as_the_critic_gets_better(record: dict[str, Any]) -> None:
    """Medians of the last half: single values oscillate."""
    gradients = {name: each["generator_gradient"] for name, each in record["vanishing"].items()}
    late = {name: statistics.median(series[len(series) // 2 :]) for name, series in gradients.items()}
    assert late["minimax"] < 0.1 * max(gradients["minimax"])
    assert late["vanilla"] > 100 * late["minimax"] and late["vanilla"] > 1
    assert late["wgan"] == pytest.approx(1.25, rel=0.2)  # 1 + offset / 2λ
