"""Jobs of submitit that are stopped by Ctrl-C in a terminal, or preempted while they do something else than train."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from processes import NO_MLFLOW, TIMEOUT, Lab, finish
from tools import require_package

pytestmark = pytest.mark.integration

LOCAL = ["hydra/launcher=submitit_local", "hydra.launcher.n_jobs=2"]

WAITING = """\
import os
import time
from pathlib import Path

from stargan_lab.registry import family


@family("extractor").register("waiting")
class Waiting:
    '''While there is a file ``slow``, and one that matches its content: notes its process, and waits.'''

    name = label = "waiting"
    sha256 = identity = "1"
    dims, memory, preprocessing = 3, 0, "uint8"

    def __init__(self, outputs, device, classifier): ...

    def features(self, images):
        if Path("slow").exists() and list(Path().glob(Path("slow").read_text())):
            with Path("evaluating").open("a") as file:
                file.write(f"{os.getpid()}\\n")
            while Path("slow").exists():
                time.sleep(0.05)
        return images.float().mean(dim=(2, 3))
"""

CHECKPOINT = "outputs/runs/*/checkpoints/last.pt"


@pytest.fixture(autouse=True)
def submitit() -> None:
    require_package("submitit")


def wait_until(condition: Callable[[], bool], process: "Popen[str]") -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=["Ctrl-C", "closed"])
def test_a_terminal_saves_every_job(lab: Lab, number: int, code: int) -> None:
    """What it sends reaches all processes of the command's group, also submitit's, which would kill their jobs."""
    endless = ["total_steps=50000", "trainer.log_every=1", "trainer.checkpoint_every=0"]
    process = lab.start("train", "-m", "preset=tiny", *endless, "seed=0,1", *LOCAL, NO_MLFLOW)
    logs = lab.outputs / "runs"
    wait_until(lambda: sum(path.stat().st_size > 0 for path in logs.glob("*/metrics.jsonl")) == 2, process)
    os.killpg(process.pid, number)
    outcome = finish(process)
    assert outcome.code == code, outcome.err
    assert {lab.result(run_id)["status"] for run_id in lab.run_ids()} == {"interrupted"}
    assert all((lab.run(run_id) / "checkpoints" / "last.pt").exists() for run_id in lab.run_ids())


@pytest.mark.parametrize(
    ("when", "evaluate_every", "resumed_from"),
    [("waiting.py", 0, 0), (CHECKPOINT, 0, 4), (CHECKPOINT, 2, 2)],
    ids=["before training", "after training", "in between"],
)
def test_a_job_that_is_preempted_while_it_does_not_train_is_requeued(
    lab: Lab, when: str, evaluate_every: int, resumed_from: int
) -> None:
    lab.write("waiting.py", WAITING)
    slow, noted = lab.write("slow", when), lab.folder / "evaluating"
    settings = [f"trainer.evaluate_every={evaluate_every}", "evaluation.extractor=waiting", "imports=[waiting]"]
    process = lab.start(
        "train", "-m", "preset=tiny", "trainer.checkpoint_every=0", *settings, "seed=0", *LOCAL, NO_MLFLOW
    )

    def processes() -> list[int]:
        return list(dict.fromkeys(map(int, noted.read_text().split()))) if noted.exists() else []

    wait_until(lambda: len(processes()) == 1, process)
    os.kill(processes()[0], signal.SIGUSR2)
    wait_until(lambda: len(processes()) == 2, process)
    slow.unlink()
    outcome = finish(process)
    assert outcome.code == 0, outcome.err
    assert (lab.result()["status"], lab.result()["resumed_from"]) == ("finished", resumed_from)


def test_a_second_signal_ends_running_jobs(lab: Lab) -> None:
    lab.write("waiting.py", WAITING)
    lab.write("slow", "waiting.py")
    settings = ["evaluation.extractor=waiting", "imports=[waiting]", LOCAL[0], NO_MLFLOW]
    process = lab.start("train", "-m", "preset=tiny", *settings, "seed=0,1")
    noted = lab.folder / "evaluating"
    wait_until(lambda: noted.exists() and bool(noted.read_text()), process)
    process.send_signal(signal.SIGSTOP)  # so that both arrive before the job notices the first one
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)
    assert finish(process).code == 143
    pid, deadline = int(noted.read_text().split()[0]), time.monotonic() + TIMEOUT
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the job outlives the command"
        time.sleep(0.05)
    assert len(lab.run_ids()) == 1
