"""``train``: the files and records of a run, and that repeating the command changes nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image
from processes import NO_MLFLOW, Lab, Outcome, computed, finish

pytestmark = pytest.mark.integration

LOSSES = {f"loss/{term}" for term in ("d_real", "d_fake", "d_cls", "d_gp", "g_fake", "g_rec", "g_cls")}
SCORES = {f"eval/{name}" for name in ("edit", "leak", "identity_rank", "accuracy", "frechet_classifier")}


def test_run_finishes_and_prints_its_folder(first: tuple[Lab, Outcome]) -> None:
    lab, outcome = first
    assert outcome.code == 0, outcome.err
    assert f"run {lab.run().name}" in outcome.err
    assert f"outputs/runs/{lab.run().name}" in outcome.lines()[-1]
    assert "Traceback" not in outcome.err
    assert "training the attribute classifier" in outcome.err and "cached as outputs/cache/classifiers/" in outcome.err
    assert "creating the MLflow database outputs/mlflow.db" in outcome.err
    assert "\r" not in outcome.err, "bars are for terminals"
    assert {path.name for path in lab.folder.iterdir()} == {"outputs"}


def test_run_writes_its_files(first: tuple[Lab, Outcome]) -> None:
    lab, _ = first
    run = lab.run()
    assert (run / "checkpoints" / "last.pt").stat().st_size > 10_000
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["total_steps"], config["seed"], config["generator"]["norm"]) == (4, 0, "instance")
    assert [step for step, metrics in lab.rows() if set(metrics) >= LOSSES] == [2, 4]
    assert set(lab.rows()[-1][1]) >= SCORES
    about = json.loads((run / "samples" / "targets.json").read_text())
    side = 16 * about["scale"]
    assert about["columns"][0] == "input" and len(about["columns"]) == len(about["left"]) == 7
    assert len(about["top"]) == 4
    for step in (2, 4):
        with Image.open(run / "samples" / f"{step:08d}.png") as grid:
            assert grid.width > about["left"][-1] + side and grid.height > about["top"][-1] + side


def test_result_file_has_metrics_and_provenance(first: tuple[Lab, Outcome]) -> None:
    lab, _ = first
    result = lab.result()
    assert result["run_id"] == lab.run().name and len(result["run_id"]) == 12
    assert result["status"] == "finished"
    assert set(result["metrics"]) >= SCORES
    assert "eval/edit/Blond_Hair" in result["metrics"]
    assert not any(name.startswith("eval/fid") for name in result["metrics"])
    assert result["protocol"]["hash"]
    assert result["seconds"] > 0
    assert result["resumed_from"] == 0
    assert result["audit"]["updates.discriminator"] == 4 and result["audit"]["flops.run"] > 0
    assert result["peak_memory_mib"] > 1
    assert len(result["state_sha256"]) == 64
    assert lab.rows()[-1][1].items() >= result["metrics"].items()


def test_run_is_in_mlflow_once(first: tuple[Lab, Outcome]) -> None:
    lab, _ = first
    store = lab.mlflow()
    (run,) = store.runs().values()
    assert run.info.status == "FINISHED"
    assert set(lab.result()["metrics"]) | LOSSES <= set(run.data.metrics)
    assert run.data.metrics["eval/edit"] == pytest.approx(lab.result()["metrics"]["eval/edit"], abs=5e-4)
    assert run.data.params["adversarial.name"] == "wgan" and run.data.params["total_steps"] == "4"
    tags = run.data.tags
    assert tags["run_id"] == lab.run().name and tags["seed"] == "0"
    assert tags["protocol"] == lab.result()["protocol"]["hash"]
    assert all(tags[name] for name in ("data", "code", "git_commit"))
    files = {item.path for item in store.client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "result.json", "samples"} <= files


def test_repeating_the_command_changes_nothing(first: tuple[Lab, Outcome], tmp_path: Path) -> None:
    lab = Lab(shutil.copytree(first[0].folder, tmp_path / "again"))
    before = {path: path.stat().st_mtime_ns for path in lab.run().rglob("*") if path.suffix}
    outcome = lab("train", "preset=tiny")
    assert outcome.code == 0
    assert outcome.lines() == [f"already finished: run {lab.run().name} in outputs/runs/{lab.run().name}"]
    assert {path: path.stat().st_mtime_ns for path in lab.run().rglob("*") if path.suffix} == before
    assert len(lab.mlflow().runs()) == 1


def test_equal_commands_give_bit_identical_runs(
    first: tuple[Lab, Outcome], prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In an empty folder, data and classifier included, and with worker threads that prepare batches."""
    again, ahead = Lab(tmp_path_factory.mktemp("again")), Lab(prepare(tmp_path_factory.mktemp("ahead")))
    for process in [
        again.start("train", "preset=tiny"),
        ahead.start("train", "preset=tiny", "trainer.workers=2", NO_MLFLOW),
    ]:
        outcome = finish(process)
        assert outcome.code == 0, outcome.err
    expected = first[0].result()
    for other in (again, ahead):
        assert other.result()["run_id"] == expected["run_id"]
        assert other.result()["state_sha256"] == expected["state_sha256"]
        assert other.result()["metrics"] == expected["metrics"]
        assert other.rows() == first[0].rows()


def test_outputs_go_to_the_configured_folder(first: tuple[Lab, Outcome], lab: Lab) -> None:
    """With another seed, whose run has another id and other weights."""
    shutil.move(lab.outputs, lab.folder / "elsewhere")
    assert lab("train", "preset=tiny", "seed=1", "paths.outputs=elsewhere").code == 0
    assert not lab.outputs.exists()
    lab.outputs = lab.folder / "elsewhere"
    assert lab.run().name != first[0].run().name
    assert lab.result()["state_sha256"] != first[0].result()["state_sha256"]
    assert computed(lab.mlflow().runs()[lab.run().name].data.metrics)
