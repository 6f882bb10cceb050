"""Scores are called FID only with the official Inception weights."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import NO_MLFLOW, Lab

from stargan_lab import compose
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.run import run

pytestmark = pytest.mark.integration

ONE_DOMAIN = ["preset=tiny", "data.sources.faces.attributes=[Male]", "evaluation.max_images=4"]


@pytest.fixture(scope="module")
def scored(prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A folder with a sweep of two runs, evaluated with random Inception weights."""
    from inception import make_calibrated_inception

    lab = Lab(prepare(tmp_path_factory.mktemp("scored")))
    (source,) = build_sources(compose([*ONE_DOMAIN, f"paths.outputs={lab.outputs}"]))
    source.prepare()
    make_calibrated_inception(lab.folder / "inception.pth", source.split("train").images(range(16)))
    base = ", ".join([*ONE_DOMAIN, "evaluation.extractor=inception", "evaluation.weights=inception.pth"])
    lab.write(
        "experiments/norms.yaml",
        f"base: ['{base.replace(', ', chr(39) + ', ' + chr(39))}']\n"
        "claim: None.\nbaseline: none\nprimary: eval/edit\nseeds: [0]\n"
        "variants: {none: [discriminator.norm=none], layer: [discriminator.norm=layer]}\n",
    )
    outcome = lab("sweep", "norms")
    assert outcome.code == 0, outcome.err
    return lab


def test_unverified_weights_give_no_fid(scored: Lab) -> None:
    runs = scored.mlflow().runs()
    assert set(runs) == scored.run_ids() and len(runs) == 2
    for run_id in runs:
        for metrics in (scored.result(run_id)["metrics"], runs[run_id].data.metrics):
            assert metrics["eval/frechet_inception_unverified"] > 0
            assert metrics["eval/frechet_inception_unverified/Male"] > 0
            assert not any(name.startswith("eval/fid") for name in metrics)
    values = {scored.result(run_id)["metrics"]["eval/frechet_inception_unverified"] for run_id in runs}
    assert len(values) == 2, "the features do not distinguish the runs"
    page = (scored.outputs / "reports" / "norms" / "report.md").read_text()
    assert "frechet_inception_unverified" in page and "| fid" not in page


def test_verified_weights_give_the_same_value_as_fid(
    scored: Lab, prepare: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = scored.folder / "inception.pth"
    official = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr("stargan_lab.evaluation.inception_weights.VERIFIED_SHA256", official)
    lab = Lab(prepare(tmp_path))
    overrides = [*ONE_DOMAIN, "evaluation.extractor=inception", f"evaluation.weights={weights}"]
    for norm in ("none", "layer"):  # the two runs of the sweep
        result = run(compose([*overrides, f"discriminator.norm={norm}", f"paths.outputs={lab.outputs}"]))
        assert "eval/frechet_inception_unverified" not in result["metrics"]
        other = scored.result(result["run_id"])["metrics"]["eval/frechet_inception_unverified"]
        assert result["metrics"]["eval/fid"] == pytest.approx(other, rel=1e-6)
    runs = lab.mlflow().runs()
    assert set(runs) == scored.run_ids()
    assert all("eval/fid" in recorded.data.metrics for recorded in runs.values())


def test_missing_weights_are_one_warning_with_the_remedy(lab: Lab) -> None:
    outcome = lab("train", "preset=tiny", "evaluation.extractor=inception", NO_MLFLOW)
    assert outcome.code == 0, outcome.err
    warnings = [line for line in outcome.lines() if "Inception" in line]
    assert len(warnings) == 1 and "warning: " in warnings[0]
    assert "evaluation.weights=download" in warnings[0] and "pt_inception-2015-12-05-6726825d.pth" in warnings[0]
    result = lab.result()
    assert result["status"] == "finished" and result["metrics"]["eval/frechet_classifier"] > 0
    assert not any("inception" in name or "fid" in name for name in result["metrics"])
