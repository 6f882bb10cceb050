"""One process trains a run at a time, and results that were copied in as plain files count."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import NO_MLFLOW, RATES, Lab, finish, wait_for

pytestmark = pytest.mark.integration

LONG = ("train", "preset=tiny", "total_steps=60", "trainer.checkpoint_every=10", "trainer.sample_every=0", NO_MLFLOW)


def assert_trained_once(lab: Lab) -> None:
    """Every run is finished, from its start, and has one row per step."""
    for run_id in lab.run_ids():
        result = lab.result(run_id)
        assert (result["status"], result["resumed_from"]) == ("finished", 0)
        steps = [step for step, metrics in lab.rows(run_id) if "loss/d_real" in metrics]
        assert steps and steps == sorted(set(steps))


def test_second_process_does_not_train_the_same_run(lab: Lab) -> None:
    process = lab.start(*LONG)
    while not lab.run_ids():
        assert process.poll() is None
    (run_id,) = lab.run_ids()
    wait_for(lab.run(run_id) / "checkpoints" / "last.pt", process)
    process.send_signal(signal.SIGSTOP)  # it holds the run for as long as the second needs to start
    second = lab(*LONG)
    process.send_signal(signal.SIGCONT)
    assert second.code == 1
    assert second.lines()[-1].startswith(f"error: run {run_id} is being trained by another process")
    first = finish(process)
    assert first.code == 0, first.err
    assert_trained_once(lab)
    assert not (lab.run() / ".lease").exists() and "already finished" in lab(*LONG).err


def test_two_sweeps_at_once_train_each_cell_once(lab: Lab) -> None:
    lab.write("experiments/rates.yaml", RATES)
    both = [lab.start("sweep", "rates", "total_steps=30", "trainer.log_every=5") for _ in range(2)]
    outcomes = [finish(process) for process in both]
    assert all("Traceback" not in outcome.err for outcome in outcomes)
    assert len(lab.run_ids()) == 2
    assert_trained_once(lab)
    assert lab("sweep", "rates", "total_steps=30", "trainer.log_every=5").code == 0
    store = lab.mlflow()
    for run in store.runs().values():
        assert run.info.status == "FINISHED" and "ablation.rates" in run.data.tags
        assert [step for step, _ in store.history(run)["loss/d_real"]] == list(range(5, 31, 5))


def test_copied_results_are_imported(lab: Lab, prepare: Callable[[Path], Path], tmp_path: Path) -> None:
    lab.write("experiments/rates.yaml", RATES)
    other = Lab(prepare(tmp_path / "other"))
    assert other("train", "preset=tiny", "optimizer.d_lr=0.00001", NO_MLFLOW).code == 0
    run_id = other.run().name
    shutil.copytree(other.run(), lab.outputs / "runs" / run_id)
    before = (lab.run(run_id) / "result.json").read_bytes()

    dry = lab("sweep", "rates", "--dry-run")
    assert f"{run_id}  finished" in dry.out and dry.out.splitlines()[-1].startswith("1 run left, about ")
    outcome = lab("sweep", "rates")
    assert outcome.code == 0, outcome.err
    assert (lab.run(run_id) / "result.json").read_bytes() == before
    assert len(lab.run_ids()) == 2 and run_id in lab("runs", "list", "status=finished").out
    store = lab.mlflow()
    runs = store.runs()
    assert set(runs) == lab.run_ids()
    assert {run.data.tags["ablation.rates"] for run in runs.values()} == {"usual", "low"}
    assert store.history(runs[run_id])["loss/d_real"] == [
        (step, float(f"{metrics['loss/d_real']:.4g}")) for step, metrics in lab.rows(run_id) if "loss/d_real" in metrics
    ]
