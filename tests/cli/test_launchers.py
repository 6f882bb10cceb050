"""Parts of the launchers that need no sweep; tests/integration runs sweeps with all of them."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools import require_package

from hydra_plugins.stargan_lab_launchers import processes
from hydra_plugins.stargan_lab_launchers._job import _picklable, errors_held_back
from hydra_plugins.stargan_lab_launchers.processes import _cause, _shared_gpus
from hydra_plugins.stargan_lab_launchers.ray_cluster import RayLauncher
from stargan_lab.cli.main import main
from stargan_lab.errors import ConfigError, JobStopped, LabError


@pytest.mark.parametrize(
    ("visible", "workers", "shared"),
    [
        ("0,1", 2, ["0", "1"]),
        ("3,5", 3, ["3", "5", "3"]),
        ("GPU-a", 2, ["GPU-a", "GPU-a"]),
        ("0,1", 1, [None]),  # a single worker keeps what it sees
        ("", 2, [None, None]),
    ],
)
def test_gpus_are_handed_round(monkeypatch: pytest.MonkeyPatch, visible: str, workers: int, shared: list[Any]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _shared_gpus(workers) == shared


def test_the_cause_of_death_is_named() -> None:
    assert _cause(-9) == "its process was killed by SIGKILL (out of memory?)"
    assert _cause(-15) == "its process was killed by SIGTERM"
    assert _cause(7) == "its process exited with code 7"


class Unpicklable(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def test_errors_survive_the_way_to_the_launcher() -> None:
    stopped = _picklable(JobStopped("stopped"))
    assert isinstance(stopped, JobStopped)
    replaced = pickle.loads(pickle.dumps(_picklable(Unpicklable(1, 2))))
    assert isinstance(replaced, LabError) and str(replaced) == "Unpicklable: 1 and 2"


RAY = ["hydra/launcher=ray", "hydra.launcher.n_jobs=1"]
WHOLE = "expected a whole number of at least"
EXPECTED = "expected a number of at least 1, -1 or null, got"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=ray"], "hydra.launcher.n_jobs"),
        (["hydra/launcher=ray", "hydra.launcher.n_jobs=1", "trainer.threads=null"], "trainer.threads: set a number"),
        (["hydra/launcher=basic", "hydra.launcher.n_jobs=0"], f"hydra.launcher.n_jobs: {EXPECTED} 0"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=two"], f"hydra.launcher.n_jobs: {EXPECTED} 'two'"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=-2"], f"hydra.launcher.n_jobs: {EXPECTED} -2"),
        (["hydra/launcher=submitit_local", "hydra.launcher.n_jobs=1.5"], f"hydra.launcher.n_jobs: {EXPECTED} 1.5"),
        (["hydra/launcher=submitit_local", "trainer.threads=null"], "trainer.threads: set a number"),
        (["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=abc"], f"timeout_min: {WHOLE} 1, got 'abc'"),
        (["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=1.5"], f"timeout_min: {WHOLE} 1, got 1.5"),
        (["hydra/launcher=submitit_local", "hydra.launcher.gpus_per_node=true"], f"gpus_per_node: {WHOLE} 0, got True"),
        (["hydra/launcher=submitit_local", "hydra.launcher.name=5"], "hydra.launcher: "),
        (
            ["hydra/launcher=submitit_local", "hydra.launcher.poll_seconds=x"],
            "poll_seconds: expected a number of at least 0.01, got 'x'",
        ),
        ([*RAY, "hydra.launcher.max_retries=x"], f"hydra.launcher.max_retries: {WHOLE} -1, got 'x'"),
        ([*RAY, "hydra.launcher.num_gpus=-1"], "num_gpus: expected a number of at least 0, got -1"),
        ([*RAY, "hydra.launcher.num_gpus=1.5"], "num_gpus: expected a part of one GPU or a whole number, got 1.5"),
        ([*RAY, "hydra.launcher.max_retries=null"], f"max_retries: {WHOLE} -1, got null"),
        ([*RAY, "hydra.launcher.address=127.0.0.1:1"], "address: cannot connect to 127.0.0.1:1 ("),
        (["hydra/launcher=submitit_local", "+hydra.launcher.visible_gpus=0"], "hydra.launcher: "),
    ],
)
def test_settings_of_a_launcher_are_refused_before_any_run(
    here: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    require_package("submitit")
    require_package("ray")
    assert main(["train", "-m", "preset=tiny", "seed=0,1", *overrides]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("next: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert not (here / "outputs" / "runs").exists()


@pytest.mark.parametrize("flags", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=ray"], "set the number of runs at a time"),
        (["hydra.launcher.n_jobs=0"], f"{EXPECTED} 0"),
        (["hydra.launcher.n_jobs=two"], f"{EXPECTED} 'two'"),
    ],
)
def test_a_dry_run_refuses_the_settings_that_the_sweep_refuses(
    here: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str, flags: list[str]
) -> None:
    assert main(["sweep", "quickstart", *overrides, *flags]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: hydra.launcher.n_jobs: {message}"
    assert not (here / "outputs" / "runs").exists()


@pytest.mark.parametrize(
    ("num_cpus", "num_gpus", "message"),
    [
        (1, 1, "hydra.launcher.num_gpus: a run needs 1, but no node has more than 0"),
        (5, 0, "hydra.launcher.num_cpus: a run needs 5, but no node has more than 4"),
    ],
)
def test_a_run_that_no_node_of_ray_can_hold_is_refused(num_cpus: int, num_gpus: float, message: str) -> None:
    """Ray would wait without end."""
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 1.0}}]
    with pytest.raises(ConfigError, match=message):
        RayLauncher(1, "auto", num_cpus, num_gpus)._check_resources(nodes)
    alive = [node | {"Alive": True} for node in nodes]
    RayLauncher(1, "auto", num_cpus, num_gpus)._check_resources(alive)
    apart = [{"Alive": True, "Resources": resources} for resources in ({"CPU": 1, "GPU": 1}, {"CPU": 8})]
    with pytest.raises(ConfigError, match="no node has both"):
        RayLauncher(1, "auto", 5, 1)._check_resources(apart)


def test_what_a_library_prints_is_discarded_only_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), errors_held_back():
        os.write(2, b"from C\n")
        raise RuntimeError
    assert capfd.readouterr().err == ""
    with errors_held_back():
        os.write(2, b"a warning\n")
    assert capfd.readouterr().err == "a warning\n"


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--status"], ["hydra/launcher=basic"]])
def test_a_sweep_starts_the_server_before_it_plans(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Only if the default launcher will train."""
    calls: list[str] = []

    def planned(*_: Any) -> None:
        calls.append("planned")
        raise ConfigError("enough")

    monkeypatch.setattr(processes, "start_server", lambda: calls.append("started"))
    monkeypatch.setattr("stargan_lab.ablation.plan.plan", planned)
    assert main(["sweep", "quickstart", *words]) != 0
    assert calls == ([] if words else ["started"]) + ["planned"]


PRELOAD = """
import gc, sys
from hydra_plugins.stargan_lab_launchers._preloaded import MODULES
print(gc.isenabled(), gc.get_freeze_count() > 100_000, set(MODULES) - set(sys.modules))
"""


@pytest.mark.slow
def test_what_jobs_import_is_imported_before_and_frozen() -> None:
    """The process ends without a message: some libraries report objects that are still frozen."""
    done = subprocess.run([sys.executable, "-c", PRELOAD], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True True set()\n", "")


SERVER = """
import os, signal, sys
from multiprocessing import forkserver, get_context
from hydra_plugins.stargan_lab_launchers import processes

processes.PRELOADED.append("last_words")
processes.start_server()
os.kill(forkserver._forkserver._forkserver_pid, signal.SIGINT)
for code in (3, 0):
    job = get_context("forkserver").Process(target=sys.exit, args=(code,))
    job.start()
    job.join()
    print(job.exitcode)
"""
LAST_WORDS = """
import os, sys

class Kept:
    def __del__(self, write=os.write, finalizing=sys.is_finalizing):
        if finalizing():
            write(2, b"taken apart")

kept = Kept()
"""


@pytest.mark.slow
def test_the_server_survives_ctrl_c_and_ends_without_being_taken_apart(tmp_path: Path) -> None:
    """Its jobs' exit codes are not affected. Ctrl-C reaches all processes of a terminal, also while it imports."""
    (tmp_path / "last_words.py").write_text(LAST_WORDS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("3\n0\n", "")
