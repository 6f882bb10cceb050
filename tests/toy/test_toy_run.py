"""``stargan-lab toy``: files, figures, MLflow, and a failing store."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from mlflow import MlflowClient

from stargan_lab.cli.main import main
from stargan_lab.config.schema import Component
from stargan_lab.registry import family
from stargan_lab.toy.figures import FIGURES
from stargan_lab.toy.run import labels_of
from stargan_lab.tracking.store import Store

TINY = ["critic.width=8", "critic.layers=3", "batch_size=16", "steps=4", "every=2", "vanishing.steps=2"]


def test_figures_and_record_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["toy", "eight_gaussians", *TINY, "tracking.enabled=false", "seed=3"]) == 0
    folder = tmp_path / "outputs" / "toy" / "eight_gaussians"
    assert {path.name for path in folder.iterdir()} == {"toy.json"} | {
        f"{f}.{s}" for f in FIGURES for s in ("svg", "pdf")
    }
    for name in FIGURES:
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    record = json.loads((folder / "toy.json").read_text())
    assert record["seed"] == 3 and record["config"]["steps"] == 4 and record["torch"]
    assert set(record["constraints"]) == {"clip_1e-1", "clip_1e-2", "clip_1e-3", "gp"}
    for each in record["constraints"].values():
        assert len(each["layer_gradient_norms"]) == 3 and 0 <= each["share_at_bound_start"] <= 1
        assert each["steps"] == [0, 2, 4] and len(each["generator_gradient"]) == 3
    assert list(record["vanishing"]) == ["minimax", "vanilla", "wgan"]
    out, err = capsys.readouterr()
    assert "clip_1e-1" in out and " at offset 5\n" in out and "outputs/toy/eight_gaussians" in err
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def test_figures_of_an_earlier_command_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "toy" / "swiss_roll"
    for overrides, drawn in (([], FIGURES), (["vanishing.losses=[]"], FIGURES[:-1])):
        assert main(["toy", "swiss_roll", *TINY, "tracking.enabled=false", *overrides]) == 0
        assert (
            {path.stem for path in folder.glob("*.svg")} == {path.stem for path in folder.glob("*.pdf")} == set(drawn)
        )


class Named:
    """A constraint of a user's module whose first option is no number."""

    weight, samples, bound = 0.0, 0, None

    def __init__(self, *, mode: str = "soft") -> None:
        pass

    def penalty(self, *_: Any) -> None:
        return None

    def project(self, critic: Any) -> None:
        pass


def test_labels_name_the_options_that_differ() -> None:
    parts = {
        "a": Component(name="gp", options={"weight": 1.0, "samples": 1, "one_sided": False}),
        "b": Component(name="gp", options={"weight": 1.0, "samples": 4, "one_sided": True}),
        "c": Component(name="clip", options={"bound": 0.01}),
        "d": Component(name="clip", options={"bound": 0.01}),
        "e": Component(name="mine", options={"mode": "soft"}),
        "f": Component(name="none", options={}),
    }
    assert labels_of(parts) == {
        "a": "gp, weight 1, samples 1, one_sided False",
        "b": "gp, weight 1, samples 4, one_sided True",
        "c": "c: clip, bound 0.01",
        "d": "d: clip, bound 0.01",
        "e": "mine, mode soft",
        "f": "none",
    }


def test_equal_constraints_are_all_drawn_and_a_users_option_may_be_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    constraints = family("lipschitz")
    constraints.names()
    for part in ("_entries", "_sources", "_traits", "_facts"):
        monkeypatch.setattr(constraints, part, dict(getattr(constraints, part)))
    constraints.register("named")(Named)
    added = ["+constraints.again={kind: gp, weight: 1.0}", "+constraints.named={kind: named}"]
    assert main(["toy", "swiss_roll", *TINY, "tracking.enabled=false", "adversarial=hinge", *added]) == 0
    folder = tmp_path / "outputs" / "toy" / "swiss_roll"
    drawn = (folder / "generator_gradients.svg").read_text()
    for label in ("gp: gp, weight 1", "again: gp, weight 1", "named, mode soft"):
        assert label in drawn


def test_one_flat_mlflow_run_that_an_equal_command_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for overrides in (["seed=1"], ["seed=1"]):
        assert main(["toy", "swiss_roll", *TINY, *overrides]) == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert [run.data.tags["seed"] for run in runs] == ["1"]
    for run in runs:
        assert run.data.tags["toy"] == "swiss_roll" and run.info.status == "FINISHED"
        assert "mlflow.parentRunId" not in run.data.tags
        history = client.get_metric_history(run.info.run_id, "toy/generator_gradient/gp")
        assert sorted(point.step for point in history) == [0, 2, 4]
        layers = client.get_metric_history(run.info.run_id, "toy/layer_gradient/gp")
        assert sorted(point.step for point in layers) == [1, 2, 3]
        assert {"toy.json", "weights.svg"} <= {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_missing_mlflow_does_not_fail_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(uri: str) -> None:
        raise ImportError("No module named 'mlflow'")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stargan_lab.tracking.store._client", missing)
    with pytest.raises(Exception, match="No module named 'mlflow'"):
        Store.open(tmp_path)
    assert main(["toy", "swiss_roll", *TINY]) == 0
    assert "No module named 'mlflow'; the files are complete" in capsys.readouterr().err
    assert (tmp_path / "outputs" / "toy" / "swiss_roll" / "toy.json").exists()


def test_an_output_directory_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("outputs").write_text("a file")
    assert main(["toy", "swiss_roll", *TINY]) == 2
    assert capsys.readouterr().err.startswith("error: paths.outputs: cannot write to outputs/toy/swiss_roll")
