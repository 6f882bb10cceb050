"""Metrics from a user's module: from the configuration to the run's files, and read without the module."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stargan_lab.errors import LabError
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder

MODULE = '''
import torch
from stargan_lab.evaluation.metrics import FeaturePair, ImageBatch
from stargan_lab.registry import family


@family("image_metric").register(
    "brightness", direction="higher", unit="levels", decimals=1, traits=("cross",), excludes="dark outputs"
)
def brightness(batch: ImageBatch, *, floor: float = 0.0) -> torch.Tensor:
    """Mean gray level of the translations.

    Args:
        floor: darker images are left out.
    """
    levels = batch.y.double().flatten(1).mean(1)
    return levels.masked_fill(levels < floor, torch.nan)


@family("feature_metric").register("mean_gap", direction="lower", decimals=2, main=False, version=3)
def mean_gap(pair: FeaturePair) -> float:
    """Distance of the mean features."""
    return float(((pair.translated.moments.mean - pair.real.moments.mean) ** 2).sum()) ** 0.5


@family("image_metric").register("broken")
def broken(batch: ImageBatch) -> torch.Tensor:
    """Wrong shape."""
    return batch.y.double()
'''
MODULES = "imports=[my_metrics]"
TRAIN = ("train", "preset=tiny", "trainer.device=cpu", "tracking.enabled=false", MODULES)


def lab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stargan_lab", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A tiny run with a user's image metric, a user's feature metric, and without SSIM."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_metrics.py").write_text(MODULE)
    chosen = "evaluation.metrics={brightness: {floor: 1}, mean_gap: {}, kid: {subsets: 5}, ssim: false}"
    outcome = lab(folder, *TRAIN, chosen)
    assert outcome.returncode == 0, outcome.stderr
    (path,) = (folder / "outputs" / "runs").iterdir()
    return RunFolder(path)


def test_scores_and_protocol_have_the_users_metrics(trained: RunFolder) -> None:
    result: Any = trained.result()
    metrics, protocol = result["metrics"], result["protocol"]
    assert 0 < metrics["eval/brightness"] < 255 and metrics["eval/mean_gap_classifier"] > 0
    assert "eval/brightness/Male" in metrics and "eval/ssim" not in metrics and "eval/psnr" in metrics
    assert protocol["metrics"]["eval/brightness"] == {"uses": [], "options": {"floor": 1.0}, "version": 1}
    assert protocol["metrics"]["eval/mean_gap_classifier"]["version"] == 3
    assert protocol["metrics"]["eval/kid_classifier"]["options"] == {"subsets": 5, "subset_size": 1000}
    (scores,) = trained.scores.glob("*.json")
    assert json.loads(scores.read_text())["metrics"] == metrics


def test_the_run_is_read_without_the_users_module(trained: RunFolder) -> None:
    with pytest.raises(LabError):
        lookup("eval/brightness")
    found = lookup("eval/brightness/Male", RunFolder(trained.path).descriptions())
    assert (found.label, found.decimals, found.main) == ("brightness (levels) ↑", 1, True)
    assert found.meaning == "Mean gray level of the translations"
    gap = lookup("eval/mean_gap_classifier", RunFolder(trained.path).descriptions())
    assert (gap.direction, gap.main) == ("lower", False) and gap.meaning.startswith("Distance of the mean features; ")


def test_mlflow_is_rebuilt_without_the_users_module(trained: RunFolder) -> None:
    outputs = trained.path.parent.parent
    outcome = lab(outputs.parent.parent, "track", "sync", "--outputs", str(outputs))
    assert outcome.returncode == 0, outcome.stderr
    from stargan_lab.tracking.store import Store

    run = Store.open(outputs).find(trained.run_id)
    result: Any = trained.result()
    assert run is not None
    assert run.data.metrics["eval/brightness"] == pytest.approx(result["metrics"]["eval/brightness"], abs=0.05)


def test_a_reevaluation_adds_a_metric(trained: RunFolder) -> None:
    folder = trained.path.parents[2]
    dark = "evaluation.metrics={brightness: {floor: 255}}"
    outcome = lab(folder, "evaluate", trained.run_id, MODULES, dark, "--json")
    assert outcome.returncode == 0, outcome.stderr
    record = json.loads(outcome.stdout)
    assert "eval/brightness" not in record["metrics"] and "eval/ssim" in record["metrics"]
    assert any("eval/brightness applies to no test image" in note for note in record["notes"])
    assert any("dark outputs" in note for note in record["notes"])
    assert record["protocol"]["hash"] != (trained.result() or {})["protocol"]["hash"]
    config = yaml.safe_load(trained.config_path.read_text())
    assert config["evaluation"]["metrics"]["brightness"] == {"floor": 1.0}


REFUSED = {
    "evaluation.metrics={brightnes: {}}": "evaluation.metrics.brightnes: unknown metric 'brightnes'; did you mean",
    "evaluation.metrics={brightness: {flor: 1}}": "evaluation.metrics.brightness.flor: unknown key",
    "evaluation.metrics={kid: {subsets: 0}}": "evaluation.metrics.kid.subsets: expected at least 1, got 0",
    "evaluation.metrics={kid: 5}": "evaluation.metrics.kid",
    "evaluation.extractor_options={gain: 1}": "evaluation.extractor_options.gain: unknown key",
    "evaluation.extractor_options={dims: 64}": "evaluation.extractor_options.dims: set evaluation.dims instead",
}
COMPOSE = """
import sys
from stargan_lab.config import compose
from stargan_lab.errors import ConfigError
print(compose(["imports=[my_metrics]", "+evaluation.metrics.brightness.floor=2"]).evaluation.metrics)
for override in sys.argv[1:]:
    try:
        compose(["imports=[my_metrics]", "evaluation.extractor=pixels", override])
    except ConfigError as error:
        print(error)
"""


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    (tmp_path / "my_metrics.py").write_text(MODULE)
    command = [sys.executable, "-c", COMPOSE, *REFUSED]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    accepted, *messages = outcome.stdout.splitlines()
    assert accepted == "{'brightness': {'floor': 2.0}}"
    for message, expected in zip(messages, REFUSED.values(), strict=True):
        assert message.startswith(expected)


def test_a_metric_that_fails_is_refused_before_the_training(trained: RunFolder) -> None:
    outcome = lab(trained.path.parents[2], *TRAIN, "evaluation.metrics={broken: {}}", "seed=5")
    assert outcome.returncode != 0 and "step 2/4" not in outcome.stderr
    assert "metric 'broken': expected (2,) finite values or NaN, got a tensor (2, 3" in outcome.stderr


def test_a_module_in_the_package_needs_no_list(tmp_path: Path) -> None:
    """A new file with a metric is all it takes; the tables show it after the metrics of the first modules."""
    (tmp_path / "glow.py").write_text(
        "from stargan_lab.registry import family\n\n\n"
        '@family("image_metric").register("glow", source="a test")\n'
        'def glow(batch):\n    """Mean brightness."""\n'
    )
    script = """
import sys
from importlib.util import find_spec, module_from_spec
spec = find_spec("stargan_lab.evaluation.metrics")
spec.submodule_search_locations.append(sys.argv[1])
sys.modules[spec.name] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from stargan_lab.registry import family
print(*family("image_metric").in_order())
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "glow" in names and names[:4] == ["edit", "leak", "identity", "identity_rank"]
