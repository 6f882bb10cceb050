"""How many runs a sweep trains at a time on this machine, and with which launcher."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from joblib import cpu_count
from omegaconf import OmegaConf

from stargan_lab.ablation.spec import load
from stargan_lab.cli import capacity as module
from stargan_lab.cli.capacity import GIB, Capacity, capacity, estimated_bytes, left_in_container
from stargan_lab.cli.launcher_settings import at_a_time, one_by_one, with_n_jobs
from stargan_lab.cli.sweep_run import SweepRun
from stargan_lab.config import RunConfig, compose
from stargan_lab.errors import ConfigError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what this machine seems to have."""

    def set_machine(cores: int, gib: float = 1000, gpus: Sequence[float] = ()) -> None:
        for name in (f"{module.__name__}.cpu_count", "joblib.cpu_count"):
            monkeypatch.setattr(name, lambda: cores)
        monkeypatch.setattr(module, "free_memory", lambda: int(gib * GIB))
        monkeypatch.setattr(module, "free_gpu_memory", lambda: [int(free * GIB) for free in gpus])

    return set_machine


def config(*overrides: str) -> RunConfig:
    return compose(["preset=quickstart", "trainer.device=cpu", *overrides])


SMALL, LARGE = config(), config("trainer.threads=3", "seed=1")


def test_cores_are_shared_out(machine: Any) -> None:
    machine(cores=8)
    assert capacity([SMALL]) == Capacity(8, "8 cores, trainer.threads=1")
    assert capacity([SMALL, LARGE]) == Capacity(2, "8 cores, trainer.threads=3")
    machine(cores=1)
    assert capacity([LARGE]) == Capacity(1, "1 core, trainer.threads=3")


def test_a_run_with_a_thread_per_core_has_the_machine_to_itself(machine: Any) -> None:
    machine(cores=cpu_count())
    assert capacity([config("trainer.threads=null")]).runs == 1


@pytest.mark.parametrize(
    ("runs", "cores", "at_a_time", "rounds"),
    [
        *((9, 2, 3, "3 rounds instead of 5"), (3, 2, 3, "1 round instead of 2"), (9, 4, 5, "2 rounds instead of 3")),
        *((9, 6, 9, "1 round instead of 2"), (17, 8, 9, "2 rounds instead of 3")),
        *((2, 2, 2, ""), (7, 2, 2, ""), (8, 2, 2, ""), (60, 2, 2, ""), (8, 4, 4, ""), (9, 16, 9, ""), (9, 1, 1, "")),
    ],
)
def test_the_last_round_leaves_few_cores_idle(machine: Any, runs: int, cores: int, at_a_time: int, rounds: str) -> None:
    machine(cores=cores)
    reason = f"{cores} core{'s' * (cores > 1)}, trainer.threads=1" + (f"; {rounds}" if rounds else "")
    assert capacity([SMALL]).limited_to(runs) == Capacity(at_a_time, reason)


def test_equal_rounds_do_not_exceed_memory_and_gpus(machine: Any) -> None:
    needed = estimated_bytes(SMALL) / GIB
    for gib, runs in ((2.5, 2), (3.5, 3)):
        machine(cores=2, gib=gib * needed)
        assert capacity([SMALL]).limited_to(9).runs == runs
    machine(cores=8, gib=2.5 * needed)
    assert capacity([SMALL]).limited_to(3).runs == 2
    machine(cores=64, gpus=[2.5 * needed])
    assert capacity([config("trainer.device=cuda")]).limited_to(3).runs == 2
    assert Capacity(2).limited_to(9) == Capacity(2), "chosen by the user"


def test_free_memory_is_a_limit(machine: Any) -> None:
    needed = estimated_bytes(SMALL) / GIB
    assert 1 < needed < 2.5
    machine(cores=8, gib=3.5 * needed)
    assert capacity([SMALL]) == Capacity(3, f"{3.5 * needed:.1f} GiB of free memory, about {needed:.1f} GiB per run")
    machine(cores=8, gib=0.1)
    assert capacity([SMALL]).runs == 1
    assert estimated_bytes(config("data.image_size=64")) > 2 * estimated_bytes(SMALL)
    assert estimated_bytes(config("batch_size=1000")) > estimated_bytes(SMALL)


@pytest.mark.parametrize(
    ("device", "cores", "gpus", "runs", "reason"),
    [
        ("cuda", 64, [100, 90], 16, "2 GPUs with 90.0 GiB of free memory, about 1.8 GiB per run"),
        ("cuda", 64, [6, 90], 6, "2 GPUs with 6.0 GiB of free memory, about 1.8 GiB per run"),
        ("cuda", 6, [100], 6, "6 cores, trainer.threads=1"),
        ("cuda", 64, [0.5], 1, "1 GPU with 0.5 GiB of free memory, about 1.8 GiB per run"),
        ("cuda:1", 64, [100, 4], 2, "1 GPU with 4.0 GiB of free memory, about 1.8 GiB per run"),
        ("cpu", 64, [0.5], 64, "64 cores, trainer.threads=1"),
    ],
)
def test_runs_share_gpus(machine: Any, device: str, cores: int, gpus: list[float], runs: int, reason: str) -> None:
    machine(cores, gpus=gpus)
    assert capacity([config(f"trainer.device={device}")]) == Capacity(runs, reason)


@pytest.mark.parametrize(
    ("preset", "threads", "runs", "reason"),
    [
        ("small", "null", 8, "1 GPU with 80.0 GiB of free memory, about 3.0 GiB per run"),
        ("reference", "null", 8, "1 GPU with 80.0 GiB of free memory, about 9.0 GiB per run"),
        ("reference", "4", 4, "16 cores, trainer.threads=4"),
        ("quickstart", "1", 8, "1 GPU with 80.0 GiB of free memory, about 1.8 GiB per run"),
    ],
)
def test_on_a_gpu_cores_limit_only_chosen_threads(
    machine: Any, preset: str, threads: str, runs: int, reason: str
) -> None:
    machine(cores=16, gpus=[80])
    cell = compose([f"preset={preset}", "trainer.device=cuda", f"trainer.threads={threads}"])
    assert capacity([cell]) == Capacity(runs, reason)
    assert capacity([cell, config("trainer.threads=null")]).runs == 1, "a run on the CPU needs its cores"


def test_every_gpu_trains_a_run_even_if_one_may_use_all_cores(machine: Any) -> None:
    machine(cores=3, gpus=[100, 100])
    assert capacity([config("trainer.device=cuda", "trainer.threads=3")]).runs == 2


def test_free_memory_of_this_machine() -> None:
    assert 0 < module.free_memory() < 2**50
    if torch.cuda.is_available():
        assert len(module.free_gpu_memory()) == torch.cuda.device_count()
    else:
        with pytest.raises(ConfigError, match=r"^trainer\.device=cuda: needs a visible GPU, and there is none"):
            module.free_gpu_memory()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import time; time.sleep(60)", "no answer about the GPUs' free memory in 0.2 s; check them with nvidia-smi"),
        ("raise RuntimeError('busy')", "cannot read free GPU memory (RuntimeError: busy); set hydra.launcher.n_jobs"),
        ("pass", "needs a visible GPU, and there is none; set trainer.device=cpu"),
    ],
)
def test_gpus_that_do_not_answer(program: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FREE_GPU_MEMORY", program)
    if "sleep" in program:
        monkeypatch.setattr(module, "GPU_SECONDS", 0.2)
    with pytest.raises(ConfigError) as refused:
        module.free_gpu_memory()
    assert str(refused.value) == f"trainer.device=cuda: {message}"


def limit_memory(group: Path, limit: str, used: int, cached: int = 0) -> None:
    """A control group's files."""
    group.mkdir(parents=True, exist_ok=True)
    for name, text in {"max": limit, "current": str(used), "stat": f"anon 400\ninactive_file {cached}"}.items():
        (group / f"memory.{name}").write_text(f"{text}\n")


def test_the_limit_of_a_container(tmp_path: Path) -> None:
    assert left_in_container(tmp_path) is None
    limit_memory(tmp_path, "1000", 700, 200)
    assert left_in_container(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert left_in_container(tmp_path) is None


@pytest.mark.parametrize(
    ("above", "own", "left"),
    [("5000", "4000", 1000), ("4000", "5000", 500), ("max", "5000", 2000), ("4000", "max", 500)],
)
def test_the_nearest_limit_of_nested_control_groups(tmp_path: Path, above: str, own: str, left: int) -> None:
    """As systemd and Slurm set them: on the slice, the scope or both; the root has none."""
    limit_memory(tmp_path / "user.slice", above, 3600, 100)
    limit_memory(tmp_path / "user.slice" / "session.scope", own, 3500, 500)
    limit_memory(tmp_path / "other", "1", 1)
    assert left_in_container(tmp_path, "4:memory:/other\n0::/user.slice/session.scope\n") == left


def test_a_control_group_outside_the_container(tmp_path: Path) -> None:
    limit_memory(tmp_path / "inside", "1000", 400)
    limit_memory(tmp_path / "outside", "1", 1)
    assert left_in_container(tmp_path / "inside", "0::/../outside\n") == 600
    assert left_in_container(tmp_path / "inside", "0::/not/mounted\n") == 600


@pytest.mark.parametrize(
    ("launcher", "runs", "text"),
    [
        ({"n_jobs": None}, 8, "4 at a time (4 cores, trainer.threads=1)"),
        ({"n_jobs": None}, 9, "5 at a time (4 cores, trainer.threads=1; 2 rounds instead of 3)"),
        ({"n_jobs": None}, 1, "one at a time (4 cores, trainer.threads=1)"),
        ({"n_jobs": 2}, 9, "2 at a time"),
        ({"n_jobs": 256}, 9, "9 at a time"),
        ({}, 9, "one at a time"),
    ],
)
def test_the_launchers_number_comes_first(machine: Any, launcher: dict[str, Any], runs: int, text: str) -> None:
    machine(cores=4)
    base = OmegaConf.create({"hydra": {"launcher": {"_target_": "a.Launcher", **launcher}}})
    assert at_a_time(base, [SMALL]).limited_to(runs).text() == text
    resolved = with_n_jobs(base, [SMALL], runs)
    if launcher == {"n_jobs": None}:
        assert resolved.hydra.launcher.n_jobs == {1: 1, 8: 4, 9: 5}[runs]
        assert one_by_one(resolved) == (runs == 1)
    else:
        assert resolved is base


@pytest.mark.parametrize(
    ("base", "overrides", "launcher"),
    [
        ([], [], "joblib"),
        ([], ["hydra/launcher=basic"], "basic"),
        (["hydra/launcher=in_process"], [], "in_process"),
        (["hydra/launcher=in_process"], ["hydra/launcher=basic"], "basic"),
    ],
)
def test_a_sweep_chooses_joblib_unless_told_otherwise(base: list[str], overrides: list[str], launcher: str) -> None:
    quickstart = load("quickstart")
    ablation = replace(quickstart, base=(*quickstart.base, *base))
    settings = SweepRun(ablation, [], overrides)._launching[0].hydra
    assert settings.runtime.choices["hydra/launcher"] == launcher
    assert settings.launcher.get("n_jobs", "none") == {"joblib": None, "basic": 1, "in_process": "none"}[launcher]


@pytest.mark.parametrize(
    ("launcher", "threads", "number"),
    [
        ("joblib", 3, 8),
        ("submitit_local", 1, 8),
        ("submitit_local", 3, 2),
        ("submitit_local", 16, 1),
        ("ray", 2, 4),
    ],
)
def test_a_run_per_core_or_per_threads_of_a_job(machine: Any, launcher: str, threads: int, number: int) -> None:
    machine(cores=8)
    overrides = [f"hydra/launcher={launcher}", "hydra.launcher.n_jobs=-1", f"trainer.threads={threads}"]
    base = SweepRun(load("quickstart"), [], overrides)._launching[0]
    assert at_a_time(base, [SMALL]) == Capacity(number)
    assert with_n_jobs(base, [SMALL]).hydra.launcher.n_jobs == number
    assert with_n_jobs(base, [SMALL], runs=2).hydra.launcher.n_jobs == min(number, 2)


@pytest.mark.parametrize("number", ["-1", "null"])
@pytest.mark.parametrize(
    "launcher", [["hydra/launcher=submitit_slurm"], ["hydra/launcher=ray", "hydra.launcher.address=auto"]]
)
def test_the_cores_of_this_machine_say_nothing_about_a_cluster(launcher: list[str], number: str) -> None:
    overrides = [*launcher, f"hydra.launcher.n_jobs={number}"]
    base = SweepRun(load("quickstart"), [], overrides)._launching[0]
    with pytest.raises(ConfigError) as refused:
        at_a_time(base, [SMALL])
    assert str(refused.value) == (
        f"hydra.launcher.n_jobs: {number} depends on this machine, but the runs train on others; set the number of runs"
        " at a time"
    )
