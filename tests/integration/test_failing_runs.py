"""Runs that fail: one error line, a record, and no effect on other runs."""

import pytest
from processes import NO_MLFLOW, Lab

pytestmark = pytest.mark.integration

HUGE = "lipschitz.weight=1.0e+39"  # overflows float32, so the discriminator loss is infinite from the first step


def test_divergence_names_step_and_term(lab: Lab) -> None:
    outcome = lab("train", "preset=tiny", HUGE)
    assert outcome.code == 1
    errors = [line for line in outcome.lines() if line.startswith("error: ")]
    assert errors == outcome.lines()[-1:], outcome.err
    assert errors[0].startswith("error: step ") and "loss/d_" in errors[0] and " is nan" in errors[0]
    assert "Traceback" not in outcome.err
    result = lab.result()
    assert result["status"] == "diverged"
    assert f"error: {result['error']}" == errors[0]
    assert result["metrics"] == {}
    assert lab.mlflow().runs()[lab.run().name].info.status == "FAILED"


def test_sweep_continues_after_a_failed_cell(lab: Lab) -> None:
    lab.write(
        "experiments/weights.yaml",
        "base: [preset=tiny]\nclaim: None.\nbaseline: huge\nprimary: eval/edit\nseeds: [0]\n"
        f"variants: {{huge: [{HUGE}], one: [lipschitz.weight=1]}}\n",
    )
    outcome = lab("sweep", "weights")
    assert outcome.code == 1
    failed = [run_id for run_id in lab.run_ids() if lab.result(run_id)["status"] == "diverged"]
    assert len(failed) == 1 and len(lab.run_ids()) == 2
    assert {lab.result(run_id)["status"] for run_id in lab.run_ids() - set(failed)} == {"finished"}
    named = [line for line in outcome.lines() if line.startswith(f"diverged: huge · seed 0 (run {failed[0]}) step ")]
    assert len(named) == 1
    assert not any(line.startswith("[") for line in outcome.lines()[outcome.lines().index(named[0]) :]), (
        "not at the end"
    )
    assert "Traceback" not in outcome.err
    assert f"(run {failed[0]})" in (lab.outputs / "reports" / "weights" / "report.md").read_text()

    written = {run_id: (lab.run(run_id) / "result.json").stat().st_mtime_ns for run_id in lab.run_ids()}
    again = lab("sweep", "weights")
    assert again.code == 1 and "--retry-failed" in again.err
    assert {run_id: (lab.run(run_id) / "result.json").stat().st_mtime_ns for run_id in lab.run_ids()} == written

    assert lab("sweep", "weights", "--retry-failed").code == 1
    now = {run_id: (lab.run(run_id) / "result.json").stat().st_mtime_ns for run_id in lab.run_ids()}
    assert {run_id for run_id in now if now[run_id] != written[run_id]} == set(failed)


def test_unusable_weights_stop_a_run_before_training(lab: Lab) -> None:
    broken = lab.write("broken.pth", "not weights")
    outcome = lab("train", "preset=tiny", "evaluation.extractor=inception", f"evaluation.weights={broken.name}")
    assert outcome.code == 1 and outcome.lines()[-1].startswith("error: broken.pth")
    assert not any("step " in line for line in outcome.lines())
    assert lab.result()["status"] == "failed"


FAILING = """\
from stargan_lab.registry import family

@family("extractor").register("single")
class Single:
    name = label = "single"
    sha256 = identity = "1"
    dims, memory, preprocessing = 3, 0, "uint8"

    def __init__(self, outputs, device, classifier): ...

    def features(self, images):
        assert len(images) == 1, "one at a time"
        return images.float().mean(dim=(2, 3))
"""


def test_training_survives_a_failed_evaluation(lab: Lab) -> None:
    lab.write("my_features.py", FAILING)
    outcome = lab("train", "preset=tiny", "imports=[my_features]", "evaluation.extractor=single")
    assert outcome.code == 1 and "one at a time" in outcome.lines()[-1]
    assert lab.mlflow().runs()[lab.run().name].info.status == "FAILED"
    assert lab.result()["status"] == "failed"
    assert lab("train", "preset=tiny", NO_MLFLOW).code == 0
    assert lab.result()["status"] == "finished"
    assert lab.result()["resumed_from"] == 4


def test_multirun_continues_after_a_failed_job(lab: Lab) -> None:
    outcome = lab("train", "-m", "preset=tiny", "lipschitz.weight=1.0e+39,9", NO_MLFLOW)
    assert outcome.code == 1
    assert sorted(lab.result(run_id)["status"] for run_id in lab.run_ids()) == ["diverged", "finished"]
    assert "Traceback" not in outcome.err
    assert outcome.lines()[-1].startswith("error: step ")
