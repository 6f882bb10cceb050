"""Sweeps under every launcher: a run that dies leaves the others running, and another launcher finishes the sweep."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fatal import ABLATION, FATAL, WAYS
from processes import NO_MLFLOW, Lab, finish
from tools import require_package

pytestmark = pytest.mark.integration

LAUNCHERS = {
    "basic": ["hydra/launcher=basic"],
    "default": [],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.n_jobs=2"],
    "ray": ["hydra/launcher=ray", "hydra.launcher.n_jobs=2", "hydra.launcher.max_retries=0"],
}


def write_ablation(lab: Lab) -> None:
    lab.write("fatal.py", FATAL)
    lab.write("experiments/fatal.yaml", ABLATION)


def ids(lab: Lab) -> dict[str, str]:
    """Variant -> run id."""
    listed = lab("sweep", "fatal", "--dry-run")
    assert listed.code == 0, listed.err
    return {line.split()[2]: line.split()[0] for line in listed.out.splitlines()[:-1]}


def states(lab: Lab, runs: dict[str, str]) -> dict[str, str]:
    """Variant -> digest of the trained networks and optimizers."""
    return {variant: lab.result(run_id)["state_sha256"] for variant, run_id in runs.items()}


@pytest.fixture(scope="module")
def expected(prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of all runs, trained one after another in one process."""
    lab = Lab(prepare(tmp_path_factory.mktemp("expected")))
    write_ablation(lab)
    outcome = lab("sweep", "fatal", "hydra/launcher=in_process", NO_MLFLOW)
    assert outcome.code == 0, outcome.err
    return states(lab, ids(lab))


@pytest.mark.parametrize(
    ("begun_on", "finished_on"),
    [("basic", "default"), ("default", "basic"), ("submitit_local", "basic"), ("ray", "submitit_local")],
)
def test_a_dying_run_leaves_the_others_and_another_launcher_finishes(
    lab: Lab, expected: dict[str, str], begun_on: str, finished_on: str
) -> None:
    if "submitit_local" in (begun_on, finished_on):
        require_package("submitit")
    if begun_on == "ray":
        require_package("ray")
    write_ablation(lab)
    armed, runs = lab.write("armed", ""), ids(lab)
    died = lab("sweep", "fatal", *LAUNCHERS[begun_on], NO_MLFLOW)
    assert died.code == 1 and "Traceback" not in died.err, died.err
    kept = lab.result(runs["calm"])
    assert kept["status"] == "finished"
    status = {
        line.split()[0]: line.split()[4].rstrip(":") for line in lab("sweep", "fatal", "--status").out.splitlines()[:-1]
    }
    ended = {"calm": "finished", "kill": "interrupted", "diverge": "diverged"}
    assert status == dict.fromkeys(WAYS, "failed") | ended
    assert lab.result(runs["exit"])["error"].startswith("a component called sys.exit(3)")

    armed.unlink()
    completed = lab("sweep", "fatal", *LAUNCHERS[finished_on], "--retry-failed", NO_MLFLOW)
    assert completed.code == 0, completed.err
    assert lab.result(runs["calm"]) == kept, "a finished run was trained again"
    assert {way: lab.result(runs[way])["resumed_from"] for way in WAYS[1:]} == dict.fromkeys(WAYS[1:], 10)
    assert states(lab, runs) == expected
    assert lab.run_ids() == {*runs.values()}


def test_ray_starts_a_killed_run_again(lab: Lab, expected: dict[str, str]) -> None:
    require_package("ray")
    write_ablation(lab)
    lab.write("armed", "")
    runs = ids(lab)
    lab("sweep", "fatal", "hydra/launcher=ray", "hydra.launcher.n_jobs=2", NO_MLFLOW)
    killed = lab.result(runs["kill"])
    assert (killed["status"], killed["resumed_from"], killed["state_sha256"]) == ("finished", 10, expected["kill"])


CONNECT = """\
from hydra_plugins.stargan_lab_launchers.ray_cluster import RayLauncher
ray = RayLauncher(1, None, 1)._connect()
ray.get(ray.remote(lambda: None).remote())  # starts a worker
import psutil  # which Ray brings along
me = psutil.Process()
for process in [me, *me.children(recursive=True)]:
    for each in process.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN:
            print(each.laddr.ip.removeprefix("::ffff:"), process.name())
"""
"""Prints the interface of every socket on which this process or one that it has started listens."""


def test_ray_listens_on_the_loopback_interface_only(lab: Lab) -> None:
    require_package("ray")
    outcome = Lab(lab.folder, [sys.executable, "-c"])(CONNECT)
    listening = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
    assert {"gcs_server", "raylet"} <= {name for _, name in listening}, outcome.err
    assert {interface for interface, _ in listening} == {"127.0.0.1"}


LONG = ("train", "-m", "preset=tiny", "total_steps=5000", "trainer.checkpoint_every=20", NO_MLFLOW)


@pytest.mark.parametrize(
    ("overrides", "number", "code"),
    [
        (["seed=0,1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], signal.SIGTERM, 143),
        (["seed=0,1", *LAUNCHERS["basic"]], signal.SIGINT, 130),
    ],
)
def test_a_signal_to_a_sweep_saves_every_run(lab: Lab, overrides: Sequence[str], number: int, code: int) -> None:
    process = lab.start(*LONG, *overrides)
    while len(list(lab.outputs.glob("runs/*/checkpoints/last.pt"))) < (2 if code == 143 else 1):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    outcome = finish(process)
    assert outcome.code == code, outcome.err
    saved = [line for line in outcome.lines() if line.startswith("stopped at step ")]
    assert len(saved) == (2 if code == 143 else 1), outcome.err
    assert {lab.result(run_id)["status"] for run_id in lab.run_ids()} == {"interrupted"}
    assert len(lab.run_ids()) == len(saved), "another run started"


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [(os.killpg, signal.SIGINT, 130), (os.killpg, signal.SIGHUP, 129), (os.kill, signal.SIGTERM, 143)],
    ids=["Ctrl-C", "closed", "SIGTERM"],
)
def test_a_signal_saves_runs_on_ray(lab: Lab, send: Callable[[int, int], None], number: int, code: int) -> None:
    """What a terminal sends reaches all processes of the command's group; SIGTERM reaches the command only."""
    require_package("ray")
    process = lab.start(*LONG, "seed=0,1", "hydra/launcher=ray", "hydra.launcher.n_jobs=1")
    while not list(lab.outputs.glob("runs/*/checkpoints/last.pt")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    send(process.pid, number)
    outcome = finish(process)
    assert outcome.code == code and "PC: @" not in outcome.err, outcome.err
    assert "\x1b" not in outcome.err, "colors in a file"
    assert all(line.rpartition("pid=")[2].partition(") ")[2] for line in outcome.lines() if "(_job pid=" in line)
    assert [lab.result(run_id)["status"] for run_id in lab.run_ids()] == ["interrupted"]


def test_sigterm_saves_one_run_and_has_its_own_code(lab: Lab) -> None:
    process = lab.start("train", "preset=tiny", "total_steps=5000", "trainer.log_every=1", NO_MLFLOW)
    while not any(path.stat().st_size for path in lab.outputs.glob("runs/*/metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    outcome = finish(process)
    assert outcome.code == 143
    assert outcome.lines()[-1].startswith("stopped at step ")
    assert lab.result()["status"] == "interrupted"
