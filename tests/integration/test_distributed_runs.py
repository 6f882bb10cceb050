"""One run trained by two processes that torchrun starts: what they write, print and resume."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import NO_MLFLOW, Lab, Outcome, finish, wait_for

pytestmark = pytest.mark.integration

TORCHRUN = (
    sys.executable,
    *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stargan_lab"),
)
LONG = (
    *("train", "preset=tiny", "trainer.devices=2", "trainer.threads=1", "total_steps=60", "trainer.sample_every=0"),
    *("trainer.checkpoint_every=10", "trainer.log_every=3", "trainer.evaluate_every=30", "evaluation.batch_size=4"),
)
SLOW_METRIC = """
import os
import time
from pathlib import Path

from stargan_lab.registry import family


@family("image_metric").register("slow")
def slow(batch):
    if batch.indices.start:  # not the call that tries the metric before the training
        Path(f"evaluating-{os.environ['RANK']}").touch()
        time.sleep(0.5)
"""


@pytest.fixture(scope="module")
def undisturbed(prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Outcome]:
    lab = Lab(prepare(tmp_path_factory.mktemp("undisturbed")), TORCHRUN)
    return lab, lab(*LONG)


def rank_pid(launcher: int, rank: int) -> int:
    """The process of a rank, a child of torchrun."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for pid in children:
        if f"RANK={rank}" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
            return int(pid)
    raise AssertionError(f"rank {rank} is not among {children}")


def reported(outcome: Outcome) -> list[str]:
    """Our lines about an error; torchrun adds its own report."""
    return [line for line in outcome.lines() if line.startswith("error: ")]


def test_only_the_first_process_writes_and_prints(undisturbed: tuple[Lab, Outcome]) -> None:
    lab, outcome = undisturbed
    assert outcome.code == 0, outcome.err
    assert lab.result()["status"] == "finished" and len(lab.run_ids()) == 1
    (run,) = lab.mlflow().runs().values()
    assert run.info.status == "FINISHED"
    assert [step for step, values in lab.rows() if "loss/d_real" in values] == list(range(3, 61, 3))
    assert sum(" finished in " in line for line in outcome.lines()) == 1
    assert sum("step 30/60" in line for line in outcome.lines()) == 1


def test_scores_equal_those_of_one_process_with_the_same_weights(undisturbed: tuple[Lab, Outcome]) -> None:
    lab = Lab(undisturbed[0].folder)
    (path,) = (lab.run() / "scores").glob("*.json")
    shared = path.read_bytes()
    path.unlink()
    outcome = lab("evaluate", lab.run().name, "--again")
    assert outcome.code == 0, outcome.err
    assert path.read_bytes() == shared


def test_losses_and_scores_are_those_of_one_process(lab: Lab) -> None:
    tiny = ("train", "preset=tiny", "trainer.threads=1", "trainer.precision=float64", NO_MLFLOW)
    adain = (*tiny, "generator.conditioning=adain")  # every weight has a gradient; Adam amplifies the rounding of a 0
    single, double = lab(*adain), Lab(lab.folder, TORCHRUN)(*adain, "trainer.devices=2")
    assert (single.code, double.code) == (0, 0), single.err + double.err
    first, second = (lab.result(run_id)["metrics"] for run_id in lab.run_ids())
    assert first.keys() == second.keys()
    for name in first:
        if name.startswith(("eval/", "loss/")):
            assert second[name] == pytest.approx(first[name], rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_with_one_line_and_the_command_resumes(
    rank: int, undisturbed: tuple[Lab, Outcome], prepare: Callable[[Path], Path], tmp_path: Path
) -> None:
    expected, lab = undisturbed[0], Lab(prepare(tmp_path), TORCHRUN)
    process = lab.start(*LONG)
    wait_for(lab.outputs / "runs" / expected.run().name / "checkpoints" / "last.pt", process)
    os.kill(rank_pid(process.pid, rank), signal.SIGKILL)
    killed = finish(process)
    assert killed.code != 0
    assert len(reported(killed)) == 1 and "another of the 2 processes has ended" in reported(killed)[0], killed.err
    assert "stargan_lab/" not in killed.err  # no traceback of ours
    resumed = lab(*LONG)
    assert resumed.code == 0, resumed.err
    assert lab.result()["resumed_from"] % 10 == 0 and 0 < lab.result()["resumed_from"] < 60
    assert lab.result()["state_sha256"] == expected.result()["state_sha256"]
    assert lab.result()["metrics"] == expected.result()["metrics"]
    assert lab.rows() == expected.rows()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_killed_while_all_evaluate_ends_all_with_one_line(
    rank: int, undisturbed: tuple[Lab, Outcome], lab: Lab
) -> None:
    expected, lab = undisturbed[0], Lab(lab.folder, TORCHRUN)
    lab.write("slow_metric.py", SLOW_METRIC)
    command = (*LONG, "imports=[slow_metric]", "evaluation.metrics={slow: true}")
    process = lab.start(*command)
    for each in (0, 1):
        wait_for(lab.folder / f"evaluating-{each}", process)
    os.kill(rank_pid(process.pid, rank), signal.SIGKILL)
    killed = finish(process)
    assert killed.code != 0 and killed.seconds < 25  # torchrun kills the others after 30 s
    assert len(reported(killed)) == 1 and "another of the 2 processes has ended" in reported(killed)[0], killed.err
    resumed = lab(*command)
    assert resumed.code == 0, resumed.err
    assert lab.result()["resumed_from"] == 30  # the checkpoint precedes the evaluation
    assert lab.result()["metrics"] == expected.result()["metrics"]
    assert lab.rows() == expected.rows()  # also the scores of step 30, which the kill had prevented


def test_a_stopped_run_saves_and_resumes(undisturbed: tuple[Lab, Outcome], lab: Lab) -> None:
    """As Ctrl-C does, which every process gets from the terminal and again from torchrun."""
    expected, lab = undisturbed[0], Lab(lab.folder, TORCHRUN)
    process = lab.start(*LONG)
    wait_for(lab.outputs / "runs" / expected.run().name / "checkpoints" / "last.pt", process)
    for pid in (rank_pid(process.pid, 0), rank_pid(process.pid, 1), process.pid):
        os.kill(pid, signal.SIGINT)
    stopped = finish(process)
    assert stopped.code != 0
    step = lab.result()["step"]
    assert lab.result()["status"] == "interrupted" and 10 <= step < 60
    assert sum(f"stopped at step {step}" in line for line in stopped.lines()) == 1
    assert not reported(stopped)
    assert lab(*LONG).code == 0
    assert lab.result()["resumed_from"] == step
    assert lab.result()["state_sha256"] == expected.result()["state_sha256"]


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ((), ["trainer.devices=1", "torchrun has started 2 processes", "set trainer.devices=2"]),
        (("trainer.devices=2", "data=celeba"), ["data/celeba", "CelebA"]),
    ],
)
def test_a_refusal_is_one_line(overrides: tuple[str, ...], parts: list[str], lab: Lab) -> None:
    outcome = Lab(lab.folder, TORCHRUN)("train", "preset=tiny", NO_MLFLOW, *overrides)
    assert outcome.code != 0 and not lab.run_ids()
    (line,) = reported(outcome)
    assert all(part in line for part in parts), line
