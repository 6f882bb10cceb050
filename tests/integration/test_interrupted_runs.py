"""Runs that are killed or interrupted resume to bit-identical results."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from processes import NO_MLFLOW, TIMEOUT, Lab, finish, wait_for

pytestmark = pytest.mark.integration

LONG = (
    "train",
    "preset=tiny",
    "total_steps=60",
    "trainer.checkpoint_every=10",
    "trainer.log_every=3",  # not a divisor of 10, so checkpoints fall within a logging interval
    "trainer.sample_every=0",
)


@pytest.fixture(scope="module")
def uninterrupted(prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(prepare(tmp_path_factory.mktemp("uninterrupted")))
    outcome = lab(*LONG)
    assert outcome.code == 0, outcome.err
    return lab


def checkpoint(lab: Lab, run_id: str) -> Path:
    return lab.run(run_id) / "checkpoints" / "last.pt"


def assert_same_result(lab: Lab, uninterrupted: Lab) -> None:
    result, expected = lab.result(), uninterrupted.result()
    assert 0 < result["resumed_from"] < 60
    assert (result["status"], result["step"]) == ("finished", 60)
    assert result["state_sha256"] == expected["state_sha256"]
    assert result["metrics"] == expected["metrics"]
    assert lab.rows() == uninterrupted.rows()
    histories = []
    for one in (lab, uninterrupted):
        store = one.mlflow()
        (run,) = store.runs().values()
        assert run.info.status == "FINISHED"
        histories.append(store.history(run))
    assert [step for step, _ in histories[0]["loss/d_real"]] == list(range(3, 61, 3))
    assert histories[0] == histories[1]


def test_killed_run_resumes_bit_identically(uninterrupted: Lab, lab: Lab) -> None:
    run_id = uninterrupted.run().name
    process = lab.start(*LONG)
    wait_for(checkpoint(lab, run_id), process)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    assert not (lab.run() / "result.json").exists()
    outcome = lab(*LONG)
    assert outcome.code == 0, outcome.err
    assert lab.result()["resumed_from"] % 10 == 0
    assert f"resuming from step {lab.result()['resumed_from']}" in outcome.err
    assert_same_result(lab, uninterrupted)


def test_interrupted_run_resumes_bit_identically(uninterrupted: Lab, lab: Lab) -> None:
    run_id = uninterrupted.run().name
    process = lab.start(*LONG)
    wait_for(checkpoint(lab, run_id), process)
    process.send_signal(signal.SIGINT)
    stopped = finish(process)
    assert stopped.code == 130
    assert "repeat the command to resume" in stopped.err and "Traceback" not in stopped.err
    step = lab.result()["step"]
    assert lab.result()["status"] == "interrupted" and 10 <= step < 60
    assert f"stopped at step {step}" in stopped.err
    assert lab.mlflow().runs()[run_id].info.status == "KILLED"
    assert lab(*LONG, "trainer.workers=2").code == 0
    assert lab.result()["resumed_from"] == step
    assert_same_result(lab, uninterrupted)


def test_ctrl_c_stops_the_whole_sweep(uninterrupted: Lab, lab: Lab) -> None:
    """The running cell saves a checkpoint, no further cell starts, and the next sweep resumes."""
    overrides = "".join(f", {word}" for word in LONG[2:])
    lab.write(
        "experiments/longer.yaml",
        f"base: [preset=tiny{overrides}]\nclaim: None.\nbaseline: a\nprimary: eval/edit\nseeds: [0]\n"
        "variants: {a: [optimizer.d_lr=0.0001], b: [optimizer.d_lr=0.0002]}\n",
    )
    process = lab.start("sweep", "longer", "hydra.launcher.n_jobs=1")
    wait_for(checkpoint(lab, uninterrupted.run().name), process)
    process.send_signal(signal.SIGINT)
    stopped = finish(process)
    assert lab.run_ids() == {uninterrupted.run().name}, "the next cell started"
    assert stopped.code == 130
    assert lab.result()["status"] == "interrupted" and "Traceback" not in stopped.err
    assert lab("sweep", "longer").code == 0
    assert lab.result(uninterrupted.run().name)["state_sha256"] == uninterrupted.result()["state_sha256"]
    assert {lab.result(run_id)["status"] for run_id in lab.run_ids()} == {"finished"}
    assert len(lab.run_ids()) == 2


@pytest.mark.parametrize(
    "overrides",
    [["seed=0"], ["-m", "seed=0,1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]],
    ids=["one run", "a multirun"],
)
def test_a_closed_terminal_saves_every_run(lab: Lab, overrides: list[str]) -> None:
    """Nothing can be printed any more, and the server that forks the processes of runs gets SIGHUP too."""
    count = 2 if "-m" in overrides else 1
    endless = ["total_steps=50000", "trainer.log_every=1", "trainer.checkpoint_every=5"]
    process, terminal = lab.start_in_terminal("train", "preset=tiny", *endless, *overrides, NO_MLFLOW)
    deadline = time.monotonic() + TIMEOUT
    while len(list(lab.outputs.glob("runs/*/checkpoints/last.pt"))) < count:
        assert process.poll() is None and time.monotonic() < deadline
        with suppress(BlockingIOError):
            os.read(terminal, 2**16)
        time.sleep(0.01)
    os.close(terminal)
    os.killpg(process.pid, signal.SIGHUP)  # as a shell passes it on
    assert process.wait(TIMEOUT) == 129
    assert [lab.result(run_id)["status"] for run_id in lab.run_ids()] == ["interrupted"] * count
    assert all("error" not in lab.result(run_id) for run_id in lab.run_ids())
