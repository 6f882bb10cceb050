"""A sweep on a real Slurm cluster of one node: jobs that fail, are preempted, requeued by an operator, or killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from fatal import ABLATION as FATAL_ABLATION
from fatal import FATAL, WAYS
from processes import NO_MLFLOW, TIMEOUT, Lab, finish
from slurm import Cluster, slurm_cluster
from tools import require_package

pytestmark = pytest.mark.integration

SLOW = """\
import time
from pathlib import Path

from stargan_lab.registry import family


@family("loss_term").register("slow", source="a test", direction="lower", decimals=3)
class Slow:
    '''Zero; takes a while if the folder has a file ``slow``, so that a run can be caught in the act.'''

    network = "discriminator"

    def __call__(self, step):
        time.sleep(0.5 if Path("slow").exists() else 0)
        return step.real_scores.mean() * 0
"""

ABLATION = """\
claim: None.
base: [preset=tiny, "imports=[slow]", +terms.slow.weight=1, total_steps=40, trainer.checkpoint_every=2]
baseline: usual
variants: {usual: [optimizer.d_lr=0.0001], low: [optimizer.d_lr=0.00001], high: [optimizer.d_lr=0.001]}
seeds: [0]
primary: eval/leak
"""

SLURM = ["hydra/launcher=submitit_slurm", "hydra.launcher.poll_seconds=0.5"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    require_package("submitit")
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


def lab_in(folder: Path, cluster: Cluster) -> Lab:
    lab = Lab(folder, environment=cluster.environment)
    lab.write("slow.py", SLOW)
    lab.write("experiments/rates.yaml", ABLATION)
    return lab


def python_process(job: str) -> int:
    """The process that trains in a job of an array."""
    array, task = job.split("_")
    wanted = {f"SLURM_ARRAY_JOB_ID={array}", f"SLURM_ARRAY_TASK_ID={task}", "SLURM_PROCID=0"}
    for path in Path("/proc").glob("[0-9]*"):
        command = (path / "cmdline").read_bytes().split(b"\0")
        is_worker = b"submitit.core._submit" in command and b"python" in command[0]
        if is_worker and wanted <= set((path / "environ").read_text().split("\0")):
            return int(path.name)
    raise AssertionError(f"job {job} has no process")


def wait_for_checkpoints(lab: Lab, runs: list[str], process: "Popen[str]") -> None:
    deadline = time.monotonic() + TIMEOUT
    while not all((lab.run(run_id) / "checkpoints" / "last.pt").exists() for run_id in runs):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.1)


def test_preempted_requeued_and_killed_jobs(
    prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> None:
    local = lab_in(prepare(tmp_path_factory.mktemp("local")), cluster)
    assert local("sweep", "rates", NO_MLFLOW).code == 0
    lab = lab_in(prepare(tmp_path_factory.mktemp("remote")), cluster)
    slow = lab.write("slow", "")
    usual, low, high = (line.split()[0] for line in lab("sweep", "rates", "--dry-run").out.splitlines()[:-1])
    process = lab.start("sweep", "rates", *SLURM, NO_MLFLOW)
    wait_for_checkpoints(lab, [usual, low], process)  # the third waits for one of the two cores
    first, second = sorted(cluster("squeue", "--noheader", "--array", "--format=%i", "--states=RUNNING").split())

    cluster("scancel", "--signal=USR2", first)  # what Slurm sends before the time limit
    cluster("scontrol", "requeue", second)  # SIGTERM, then a new start
    wait_for_checkpoints(lab, [high], process)
    (third,) = cluster("squeue", "--noheader", "--array", "--format=%i", "--states=RUNNING").split()
    os.kill(python_process(third), signal.SIGKILL)
    slow.unlink()
    for requeued in (first, second):
        cluster.release(requeued)
    outcome = finish(process)

    assert outcome.code == 1 and "Traceback" not in outcome.err, outcome.err
    assert f"interrupted: high · seed 0 (run {high})" in outcome.err
    for run_id in (usual, low):
        result = lab.result(run_id)
        assert result["status"] == "finished" and 0 < result["resumed_from"] < 40
        assert result["state_sha256"] == local.result(run_id)["state_sha256"]
        assert lab.rows(run_id) == local.rows(run_id)

    before = [lab.result(run_id) for run_id in (usual, low)]
    assert lab("sweep", "rates", NO_MLFLOW).code == 0, "the sweep is finished on this machine"
    assert [lab.result(run_id) for run_id in (usual, low)] == before
    assert lab.result(high)["resumed_from"] > 0
    assert lab.result(high)["state_sha256"] == local.result(high)["state_sha256"]


def test_failing_jobs_leave_the_others_running(
    prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> None:
    """An exception, NaN, lack of memory, sys.exit and a kill, each in one job of an array."""
    lab = lab_in(prepare(tmp_path_factory.mktemp("failing")), cluster)
    lab.write("fatal.py", FATAL)
    lab.write("experiments/fatal.yaml", FATAL_ABLATION)
    lab.write("armed", "")
    outcome = lab("sweep", "fatal", *SLURM, NO_MLFLOW)
    assert outcome.code == 1 and "Traceback" not in outcome.err, outcome.err
    status = {
        line.split()[0]: line.split()[4].rstrip(":") for line in lab("sweep", "fatal", "--status").out.splitlines()[:-1]
    }
    ended = {"calm": "finished", "kill": "interrupted", "diverge": "diverged"}
    assert status == dict.fromkeys(WAYS, "failed") | ended


def test_a_second_signal_cancels_every_job(
    prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> None:
    lab = lab_in(prepare(tmp_path_factory.mktemp("cancelled")), cluster)
    lab.write("slow", "")
    usual, low, _ = (line.split()[0] for line in lab("sweep", "rates", "--dry-run").out.splitlines()[:-1])
    process = lab.start("sweep", "rates", *SLURM, NO_MLFLOW)
    wait_for_checkpoints(lab, [usual, low], process)
    process.send_signal(signal.SIGSTOP)  # so that both arrive before the jobs notice the first one
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)
    assert finish(process).code == 143
    deadline = time.monotonic() + 15  # the jobs would take longer to finish
    while cluster("squeue", "--noheader", "--array", "--format=%i %T"):
        assert time.monotonic() < deadline, cluster("squeue")
        time.sleep(0.2)
    assert {lab.result(run_id)["status"] for run_id in lab.run_ids()} == {"interrupted"}
    assert lab.run_ids() == {usual, low}
