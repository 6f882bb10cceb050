"""One run trained by two processes, which the command or torchrun starts: what they write, print and resume."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from processes import NO_MLFLOW, SCRIPT, Lab, Outcome, finish, wait_for
from servers import listening_addresses_of, process_tree

pytestmark = pytest.mark.integration

PLAIN = (str(SCRIPT),)
TORCHRUN = (
    sys.executable,
    *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stargan_lab"),
)
LONG = (
    *("train", "preset=tiny", "trainer.devices=2", "trainer.threads=1", "total_steps=60", "trainer.sample_every=0"),
    *("trainer.checkpoint_every=10", "trainer.log_every=3", "trainer.evaluate_every=30", "evaluation.batch_size=4"),
)
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, also as an IPv6 address, and ::1, in the kernel's form."""

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
    lab = Lab(prepare(tmp_path_factory.mktemp("undisturbed")))
    return lab, lab(*LONG)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files of commands that a test starts."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def start(lab: Lab, expected: Lab) -> "subprocess.Popen[str]":
    """Start ``LONG`` and return once it has written a checkpoint."""
    process = lab.start(*LONG)
    wait_for(lab.outputs / "runs" / expected.run().name / "checkpoints" / "last.pt", process)
    return process


def rank_pid(launcher: int, rank: int) -> int:
    """The process of a rank, a child of what has started it."""
    _, *others = process_tree(launcher)
    for pid in others:
        if f"RANK={rank}" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
            return pid
    raise AssertionError(f"rank {rank} is not among {others}")


def reported(outcome: Outcome) -> list[str]:
    """Our lines about an error; torchrun adds its own report."""
    return [line for line in outcome.lines() if line.startswith("error: ")]


def left(temporary: Path) -> list[Path]:
    """Temporary files of the command; torch caches compiled code beside them."""
    return list(temporary.glob("stargan-lab-*"))


def ended(pids: Sequence[int]) -> bool:
    """Whether no process is left after 5 s; one whose parent was killed may stay as a zombie until init reaps it."""
    deadline = time.monotonic() + 5
    while (running := any(map(is_running, pids))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_only_the_first_process_writes_and_prints(undisturbed: tuple[Lab, Outcome]) -> None:
    lab, outcome = undisturbed
    assert outcome.code == 0, outcome.err
    assert lab.result()["status"] == "finished" and len(lab.run_ids()) == 1
    (run,) = lab.mlflow().runs().values()
    assert run.info.status == "FINISHED"
    assert [step for step, values in lab.rows() if "loss/d_real" in values] == list(range(3, 61, 3))
    assert sum(" finished in " in line for line in outcome.lines()) == 1
    assert sum("step 30/60" in line for line in outcome.lines()) == 1
    assert outcome.out == "" and not [line for line in outcome.lines() if line.startswith(("W1", "E1", "["))]


def test_torchrun_trains_the_same_run(undisturbed: tuple[Lab, Outcome], lab: Lab) -> None:
    expected = undisturbed[0]
    outcome = Lab(lab.folder, TORCHRUN)(*LONG)
    assert outcome.code == 0, outcome.err
    assert lab.result()["state_sha256"] == expected.result()["state_sha256"]
    assert lab.result()["metrics"].keys() == expected.result()["metrics"].keys()
    assert lab.rows() == expected.rows() and lab.run().name == expected.run().name


@pytest.mark.parametrize(("command", "only_loopback"), [(PLAIN, True), (TORCHRUN, False)])
def test_processes_listen_on_the_loopback_interface_only(
    command: Sequence[str], only_loopback: bool, undisturbed: tuple[Lab, Outcome], lab: Lab
) -> None:
    """Those that the command starts; torchrun's own store listens on all interfaces."""
    process = start(Lab(lab.folder, command), undisturbed[0])
    addresses = listening_addresses_of(process.pid)
    process.terminate()
    finish(process)
    assert "0100007F" in addresses, "the processes find each other on 127.0.0.1"
    assert (addresses <= LOOPBACK) == only_loopback, addresses


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
    single, double = lab(*adain), lab(*adain, "trainer.devices=2")
    assert (single.code, double.code) == (0, 0), single.err + double.err
    first, second = (lab.result(run_id)["metrics"] for run_id in lab.run_ids())
    assert first.keys() == second.keys()
    for name in first:
        if name.startswith(("eval/", "loss/")):
            assert second[name] == pytest.approx(first[name], rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize(("command", "rank"), [(PLAIN, 0), (PLAIN, 1), (TORCHRUN, 1)])
def test_a_killed_process_ends_all_with_one_line_and_the_command_resumes(
    command: Sequence[str], rank: int, undisturbed: tuple[Lab, Outcome], temporary: Path, lab: Lab
) -> None:
    expected, lab = undisturbed[0], Lab(lab.folder, command)
    process = start(lab, expected)
    pids = process_tree(process.pid)
    os.kill(rank_pid(process.pid, rank), signal.SIGKILL)
    killed = finish(process)
    assert killed.code == 1 and ended(pids)
    assert len(reported(killed)) == 1 and "another of the 2 processes has ended" in reported(killed)[0], killed.err
    assert "stargan_lab/" not in killed.err  # no traceback of ours
    if command == PLAIN:
        assert killed.lines()[-1] == reported(killed)[0] and not left(temporary)
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
    expected = undisturbed[0]
    lab.write("slow_metric.py", SLOW_METRIC)
    command = (*LONG, "imports=[slow_metric]", "evaluation.metrics={slow: true}")
    process = lab.start(*command)
    for each in (0, 1):
        wait_for(lab.folder / f"evaluating-{each}", process)
    os.kill(rank_pid(process.pid, rank), signal.SIGKILL)
    killed = finish(process)
    assert killed.code != 0 and killed.seconds < 25  # the others are killed after 30 s
    assert len(reported(killed)) == 1 and "another of the 2 processes has ended" in reported(killed)[0], killed.err
    resumed = lab(*command)
    assert resumed.code == 0, resumed.err
    assert lab.result()["resumed_from"] == 30  # the checkpoint precedes the evaluation
    assert lab.result()["metrics"] == expected.result()["metrics"]
    assert lab.rows() == expected.rows()  # also the scores of step 30, which the kill had prevented


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [(PLAIN, signal.SIGINT, 130), (PLAIN, signal.SIGTERM, 143), (TORCHRUN, signal.SIGINT, 1)],
)
def test_a_stopped_run_saves_and_resumes(
    command: Sequence[str],
    number: signal.Signals,
    code: int,
    undisturbed: tuple[Lab, Outcome],
    temporary: Path,
    lab: Lab,
) -> None:
    """Every process may get the signal twice: from the terminal, or from Slurm, and from what has started it."""
    expected, lab = undisturbed[0], Lab(lab.folder, command)
    process = start(lab, expected)
    pids = process_tree(process.pid)
    for pid in (rank_pid(process.pid, 0), rank_pid(process.pid, 1), process.pid):
        os.kill(pid, number)
    stopped = finish(process)
    assert stopped.code == code and ended(pids)
    step = lab.result()["step"]
    assert lab.result()["status"] == "interrupted" and 10 <= step < 60
    assert sum(f"stopped at step {step}" in line for line in stopped.lines()) == 1
    assert not reported(stopped)
    if command == PLAIN:
        assert stopped.lines()[-1].startswith("stopped at step ") and not left(temporary)
    assert lab(*LONG).code == 0
    assert lab.result()["resumed_from"] == step
    assert lab.result()["state_sha256"] == expected.result()["state_sha256"]


def test_a_second_signal_ends_all_at_once(undisturbed: tuple[Lab, Outcome], temporary: Path, lab: Lab) -> None:
    process = start(lab, undisturbed[0])
    pids = process_tree(process.pid)
    os.kill(rank_pid(process.pid, 1), signal.SIGSTOP)  # so that no step ends
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert outcome.code == 130 and outcome.lines()[-1] == "interrupted" and outcome.seconds < 10
    assert ended(pids) and not left(temporary)


def test_a_killed_command_ends_its_processes(undisturbed: tuple[Lab, Outcome], temporary: Path, lab: Lab) -> None:
    process = start(lab, undisturbed[0])
    pids = process_tree(process.pid)
    process.kill()
    assert finish(process).seconds < 10 and ended(pids)  # they hold its output open
    assert not left(temporary)
    resumed = lab(*LONG)
    assert resumed.code == 0, resumed.err
    assert lab.result()["state_sha256"] == undisturbed[0].result()["state_sha256"]


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ((), ["trainer.devices=1", "torchrun has started 2 processes", "set trainer.devices=2"]),
        (("trainer.devices=2", "data=celeba"), ["data/celeba", "CelebA"]),
    ],
)
def test_a_refusal_of_what_torchrun_started_is_one_line(overrides: tuple[str, ...], parts: list[str], lab: Lab) -> None:
    outcome = Lab(lab.folder, TORCHRUN)("train", "preset=tiny", NO_MLFLOW, *overrides)
    assert outcome.code != 0 and not lab.run_ids()
    (line,) = reported(outcome)
    assert all(part in line for part in parts), line
