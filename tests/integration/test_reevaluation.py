"""``evaluate``: finished runs re-evaluated in other processes, under other protocols."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import NO_MLFLOW, RATES, Lab, Outcome, finish

pytestmark = pytest.mark.integration

FEWER = "evaluation.max_images=8"


@pytest.fixture
def scored(first: tuple[Lab, Outcome], tmp_path: Path) -> Lab:
    """A lab with one finished run, and MLflow."""
    return Lab(shutil.copytree(first[0].folder, tmp_path / "scored"))


@pytest.fixture(scope="module")
def swept(prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with a finished ablation of two runs, without MLflow."""
    lab = Lab(prepare(tmp_path_factory.mktemp("swept")))
    lab.write("experiments/rates.yaml", RATES)
    outcome = lab("sweep", "rates", NO_MLFLOW)
    assert outcome.code == 0, outcome.err
    return lab


def test_another_process_reproduces_the_scores_of_training(scored: Lab) -> None:
    run_id = scored.run().name
    (path,) = (scored.run() / "scores").iterdir()
    before = path.read_bytes()
    again = scored("evaluate", run_id[:6], "--again", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out) == json.loads(before) and path.read_bytes() == before
    assert json.loads(again.out)["metrics"] == scored.result()["metrics"]
    known = scored("evaluate", run_id)
    assert known.code == 0 and "already evaluated" in known.err
    assert known.out.splitlines()[0].startswith(f"run {run_id}  step 4  protocol {path.stem}")
    assert any(line.split()[:2] == ["edit", "↑"] for line in known.out.splitlines())
    assert known.out.splitlines()[-1].startswith("warning: faces: frechet_classifier has too few images")


def test_concurrent_processes_record_one_evaluation(scored: Lab) -> None:
    run_id = scored.run().name
    outcomes = [finish(process) for process in [scored.start("evaluate", run_id, FEWER) for _ in range(2)]]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[0].err + outcomes[1].err
    assert outcomes[0].out == outcomes[1].out
    said = "\n".join(outcome.err for outcome in outcomes)
    assert said.count("wrote outputs/runs") == said.count("already evaluated") == 1
    files = sorted((scored.run() / "scores").iterdir())
    (protocol,) = {path.stem for path in files} - {scored.result()["protocol"]["hash"]}
    name = f"reevaluated.{protocol}/edit"
    assert [step for step, metrics in scored.rows() if name in metrics] == [4]
    assert scored("track", "sync").code == 0
    store = scored.mlflow()
    assert len(store.history(store.runs()[run_id])[name]) == 1


def test_all_runs_of_an_ablation(swept: Lab) -> None:
    outcome = swept("evaluate", "--of", "rates", FEWER, "--json")
    assert outcome.code == 0, outcome.err
    records = json.loads(outcome.out)
    assert {record["run_id"] for record in records} == swept.run_ids() and len(records) == 2
    (protocol,) = {record["protocol"]["hash"] for record in records}
    assert outcome.lines()[-1] == f"next: stargan-lab report rates --protocol {protocol}"
    assert swept("report", "rates", "--protocol", protocol).code == 0


def test_train_with_other_evaluation_settings_prints_the_command(swept: Lab) -> None:
    outcome = swept("train", "preset=tiny", NO_MLFLOW, FEWER)  # the run with the usual rate
    (said,) = [line for line in outcome.lines() if "`stargan-lab evaluate" in line]
    command = said.split("`")[1].split()
    assert command[2] in swept.run_ids() and command[3:] == [FEWER]
    assert swept(*command[1:]).code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["evaluate", FEWER], ["RUN_ID"]),
        (["evaluate", "nosuchrun"], ["no run matches 'nosuchrun'"]),
        (["evaluate", "--of", "rate"], ["'rate'", "'rates'"]),
        (["evaluate", "--of", "rates", "optimizer.d_lr=1"], ["optimizer.d_lr: cannot be changed after training"]),
    ],
)
def test_invalid_arguments_are_refused(swept: Lab, arguments: list[str], parts: list[str]) -> None:
    outcome = swept(*arguments)
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.lines()[-1].startswith("error: ") and all(part in outcome.lines()[-1] for part in parts)
    assert "Traceback" not in outcome.err


def test_unfinished_runs_of_an_ablation_are_skipped(swept: Lab, tmp_path: Path) -> None:
    lab = Lab(shutil.copytree(swept.folder, tmp_path / "unfinished"))
    for left, run_id in enumerate(sorted(lab.run_ids()), 1):
        path = lab.run(run_id) / "result.json"
        path.write_text(json.dumps(lab.result(run_id) | {"status": "interrupted"}))
        outcome = lab("evaluate", "--of", "rates")
        if left == 1:
            assert outcome.code == 0 and "skipped 1 unfinished run of rates" in outcome.err
        else:
            assert outcome.code == 1 and "no finished runs of rates" in outcome.lines()[-1]
