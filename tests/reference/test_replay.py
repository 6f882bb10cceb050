"""This project's networks, objective and training step reproduce the reference's numbers."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import replay
import torch
from tools import require_tool
from torch import nn
from torch._dynamo.utils import counters

from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.losses.objective import Objective
from stargan_lab.losses.terms import stargan
from stargan_lab.models import twice
from stargan_lab.registry import family
from stargan_lab.training.updates import TrainState

FOLDER = Path(__file__).parent
PREFIX = str(FOLDER / "golden_small")
KIT: dict[str, Any] = json.loads(Path(f"{PREFIX}.json").read_text())
GOLDEN = np.load(f"{PREFIX}.npz")
UNUSED = ("running_", "num_batches_tracked", "eval")
"""Running statistics and results that depend on them, which this project does not use."""
DTYPES = {"f64": torch.float64, "f32": torch.float32}

Arrays = Mapping[str, np.ndarray]


def in_scope(run: str, digits: str, kit: dict[str, Any], arrays: Any) -> list[str]:
    """The kit's arrays that a replay must reproduce."""
    kinds = kit["tolerance"][digits]
    parts = {key: key.split("/") for key in arrays.files}
    keys = [key for key, p in parts.items() if p[0] == run and len(p) > 2 and p[1] in kinds and p[2] == digits]
    return [key for key in keys if not any(word in key for word in UNUSED)]


def errors_over_bounds(
    results: Arrays, run: str, digits: str, kit: dict[str, Any] = KIT, arrays: Any = GOLDEN
) -> dict[str, float]:
    """Each array's largest error as a share of the kit's tolerance; more than 1, or NaN, fails."""
    shares = {}
    for key in in_scope(run, digits, kit, arrays):
        golden, ours = arrays[key].astype(np.float64), results[key].astype(np.float64)
        assert golden.shape == ours.shape, key
        if key.endswith("G/main.0.weight") and "/final/" in key:
            keep = np.ones(golden.shape, bool)
            keep[:, 3:, 3, 3] = False  # the labels' center taps have a true gradient of 0 and follow rounding noise
            golden, ours = golden[keep], ours[keep]
        absolute, relative = kit["tolerance"][digits][key.split("/")[1]]
        shares[key] = float(np.abs(golden - ours).max() / (absolute + relative * np.abs(golden).max()))
    return shares


def failed(shares: Mapping[str, float]) -> list[str]:
    return [key for key, share in shares.items() if not share <= 1]


@pytest.mark.parametrize("run", ["single", "multi"])
@pytest.mark.parametrize("digits", ["f64", "f32"])
def test_replay_is_within_the_kits_tolerances(run: str, digits: str) -> None:
    shares = errors_over_bounds(replay.replay(PREFIX, run, DTYPES[digits]), run, digits)
    kinds = {key.split("/")[1] for key in shares}
    assert kinds == {"out", "loss", "gp_norm", "gradnorm", "final"} | ({"end"} if digits == "f64" else set())
    assert len([key for key in shares if "/final/" in key]) == 8 + 28  # every weight of both networks
    assert failed(shares) == [], {key: shares[key] for key in failed(shares)}


@pytest.mark.parametrize("digits", ["f64", "f32"])
@pytest.mark.parametrize("execution", [{"joint_pass": True}, {"joint_pass": True, "channels_last": True}])
def test_every_exact_way_to_compute_a_step_is_within_the_kits_tolerances(
    execution: dict[str, bool], digits: str
) -> None:
    shares = errors_over_bounds(replay.replay(PREFIX, "multi", DTYPES[digits], **execution), "multi", digits)
    assert failed(shares) == [], {key: shares[key] for key in failed(shares)}


@pytest.mark.parametrize("digits", ["f64", "f32"])
def test_matrix_products_are_within_the_kits_tolerances(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large networks compute some convolutions so; here the discriminator computes all."""
    monkeypatch.setattr(twice, "PRODUCT_WEIGHTS", 1)
    monkeypatch.setattr(twice, "PRODUCT_POSITIONS", 10**6)
    products, right = [], twice._patches
    monkeypatch.setattr(twice, "_patches", lambda *args: products.append(1) or right(*args))
    shares = errors_over_bounds(replay.replay(PREFIX, "multi", DTYPES[digits], joint_pass=True), "multi", digits)
    assert products and failed(shares) == [], {key: shares[key] for key in failed(shares)}


@pytest.mark.slow
def test_compiled_passes_are_within_the_kits_tolerances() -> None:
    require_tool("g++")
    torch._dynamo.reset()
    counters.clear()
    results = replay.replay(PREFIX, "multi", torch.float32, compile=True, joint_pass=True)
    assert counters["stats"]["unique_graphs"] >= 2  # both networks
    shares = errors_over_bounds(results, "multi", "f32")
    assert failed(shares) == [], {key: shares[key] for key in failed(shares)}


def test_replay_with_other_numbers_of_labels() -> None:
    """One attribute and seven classes, as trained by the reference's model in float64."""
    prefix = str(FOLDER / "golden_labels")
    kit = json.loads(Path(f"{prefix}.json").read_text())
    assert (kit["runs"]["multi"]["config"]["c_dim"], kit["runs"]["multi"]["config"]["c2_dim"]) == (1, 7)
    results = replay.replay(prefix, "multi", torch.float64)
    shares = errors_over_bounds(results, "multi", "f64", kit, np.load(f"{prefix}.npz"))
    assert {key.split("/")[1] for key in shares} == {"out", "loss", "gp_norm", "gradnorm", "final", "end"}
    assert failed(shares) == [], {key: shares[key] for key in failed(shares)}


@pytest.mark.parametrize("name", ["golden_small", "golden_labels"])
def test_the_kit_matches_its_checksum(name: str) -> None:
    described = json.loads((FOLDER / f"{name}.json").read_text())["npz_sha256"]
    assert hashlib.sha256((FOLDER / f"{name}.npz").read_bytes()).hexdigest() == described


def test_the_command_line_in_a_fresh_process(tmp_path: Path) -> None:
    out = tmp_path / "multi.npz"
    command = [sys.executable, str(FOLDER / "replay.py"), PREFIX, "--run", "multi", "--out", str(out)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        shares = errors_over_bounds(arrays, "multi", "f64")
    assert failed(shares) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["multi.npz"]


Change = Callable[[TrainState, Objective], Objective]


def penalty(**options: Any) -> Change:
    return lambda _, objective: replace(objective, lipschitz=GradientPenalty(**{"weight": 10.0, **options}))


def weights(**changed: float) -> Change:
    return lambda _, objective: replace(objective, **changed)


def slope(train_state: TrainState, objective: Objective) -> Objective:
    for module in train_state.critic.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 0.0101
    return objective


def other_beta(train_state: TrainState, objective: Objective) -> Objective:
    train_state.d_optimizer = family("optimizer").build(
        "adam", train_state.critic.parameters(), "discriminator", beta1=0.5001
    )
    return objective


class Swapped(GradientPenalty):
    """alpha weighs the generated image instead."""

    def norms(self, scores, real, fake, alpha):
        return super().norms(scores, fake, real, alpha)


WRONG: dict[str, tuple[Change, set[str]]] = {
    "penalty's weight": (penalty(weight=10.0001), {"gradnorm", "final", "loss"}),
    "penalty's reduction": (penalty(reduction="mean"), {"gp_norm", "loss"}),
    "one-sided penalty": (penalty(one_sided=True), {"gradnorm", "loss"}),
    "real and fake swapped": (lambda _, objective: replace(objective, lipschitz=Swapped()), {"gp_norm"}),
    "reconstruction's weight": (weights(rec=10.0001), {"gradnorm", "loss"}),
    "classification's weight": (weights(cls=1.0001), {"gradnorm", "loss"}),
    "slope of the LeakyReLU": (slope, {"out", "loss", "final"}),
    "beta of the critic's Adam": (other_beta, {"loss", "final"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_replay_fails(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects differences far below what a plot would show."""
    change, expected = WRONG[what]
    right = replay.build

    def wrong(*arguments: Any) -> tuple[TrainState, Objective]:
        train_state, objective = right(*arguments)
        return train_state, change(train_state, objective)

    monkeypatch.setattr(replay, "build", wrong)
    failures = failed(errors_over_bounds(replay.replay(PREFIX, "single", torch.float64), "single", "f64"))
    assert expected <= {key.split("/")[1] for key in failures}


def test_a_mean_over_attributes_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = stargan.classification
    monkeypatch.setattr(stargan, "classification", lambda x, y, kind: right(x, y, kind) / y.shape[1])
    failures = failed(errors_over_bounds(replay.replay(PREFIX, "single", torch.float64), "single", "f64"))
    assert "single/loss/f64/D" in failures
