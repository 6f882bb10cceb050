"""Sweeps of many jobs: what a launcher sends to each job, and how it submits them to Slurm. No job is trained."""

import errno
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import cloudpickle
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.stargan_lab_launchers import processes
from hydra_plugins.stargan_lab_launchers.batch import SubmititLauncher, max_array_size
from hydra_plugins.stargan_lab_launchers.processes import ProcessLauncher
from hydra_plugins.stargan_lab_launchers.ray_cluster import RayLauncher
from stargan_lab.cli.jobs import Job, Jobs
from stargan_lab.config import compose
from stargan_lab.errors import ConfigError, Stopped

DONE = JobReturn(status=JobStatus.COMPLETED)


def base(folder: Path) -> DictConfig:
    logging: dict[str, Any] = {"hydra_logging": None, "verbose": False}
    launcher = {"_target_": "a.Launcher", "n_jobs": 2}
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}, "launcher": launcher, **logging}})


def set_up(launcher: Any, folder: Path, jobs: int) -> Any:
    """The launcher, ready for a sweep of this many jobs."""
    config = compose(["preset=tiny", f"paths.outputs={folder}"])
    task = Jobs(base(folder), [Job([f"seed={seed}"], config, f"{seed:012x}") for seed in range(jobs)])
    launcher.setup(hydra_context=None, task_function=task, config=base(folder))
    return launcher


def overrides(jobs: int) -> list[list[str]]:
    return [[f"seed={seed}"] for seed in range(jobs)]


class Context:
    """Of multiprocessing, without processes; keeps the payloads."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def set_forkserver_preload(self, modules: list[str]) -> None:
        pass

    def Pipe(self, duplex: bool) -> Any:
        return Pipe(duplex)

    def Process(self, target: Any, args: Any) -> Any:
        payload, writer = args
        self.payloads.append(payload)
        return Mock(start=lambda: writer.send_bytes(cloudpickle.dumps(DONE)))


def sent_to_processes(folder: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    context = Context()
    monkeypatch.setattr(processes, "get_context", lambda method: context)
    monkeypatch.setattr(processes.forkserver, "ensure_running", lambda: None)
    set_up(ProcessLauncher(1), folder, jobs).launch(overrides(jobs), 0)
    return context.payloads


def sent_to_ray(folder: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    payloads: list[bytes] = []

    def remote(*arguments: Any) -> int:
        payloads.append(arguments[0])
        return len(payloads)

    ray = SimpleNamespace(
        remote=lambda **options: lambda function: SimpleNamespace(remote=remote),
        wait=lambda running, num_returns: (running[:1], running[1:]),
        get=lambda ready: cloudpickle.dumps(DONE),
    )
    launcher = set_up(RayLauncher(2, None, 1), folder, jobs)
    launcher._run_all(ray, deque(enumerate(overrides(jobs))))
    return payloads


class Executor:
    """Of submitit, which records what it gets; every job has ended when it is submitted."""

    def __init__(self, folder: Path, refused: int | None = None) -> None:
        self.folder, self.refused = folder, refused
        self.parameters: dict[str, Any] = {}
        self.arrays: list[tuple[list[Any], dict[str, Any]]] = []

    def update_parameters(self, **parameters: Any) -> None:
        self.parameters |= parameters

    def submit_array(self, functions: list[Any]) -> list[Any]:
        if len(self.arrays) == self.refused:
            raise RuntimeError("sbatch: error: Invalid job array specification")
        self.arrays.append((functions, dict(self.parameters)))
        name = 70 + len(self.arrays)
        result = self.folder / "result"
        result.touch()
        paths = SimpleNamespace(folder=self.folder / "logs", result_pickle=result)
        return [
            SimpleNamespace(job_id=f"{name}_{i}", paths=paths, _get_outcome_and_result=lambda: ("success", DONE))
            for i in range(len(functions))
        ]


def submitted(
    folder: Path, jobs: int, monkeypatch: pytest.MonkeyPatch, n_jobs: int = 256, size: int = 1001, **options: Any
) -> Executor:
    executor = Executor(folder, **options)
    module = "hydra_plugins.stargan_lab_launchers.batch"
    monkeypatch.setattr(f"{module}.max_array_size", lambda: size)
    launcher = set_up(SubmititLauncher("slurm", str(folder), n_jobs, cpus_per_task=1), folder, jobs)
    monkeypatch.setattr(launcher, "_executor", lambda: executor)
    assert len(launcher.launch(overrides(jobs), 0)) == jobs
    return executor


def sent_to_slurm(folder: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    return [cloudpickle.dumps(job) for array, _ in submitted(folder, jobs, monkeypatch).arrays for job in array]


@pytest.mark.parametrize("sent", [sent_to_processes, sent_to_ray, sent_to_slurm])
def test_what_a_job_gets_does_not_grow_with_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: Callable[[Path, int, pytest.MonkeyPatch], list[bytes]]
) -> None:
    (small,), large = sent(tmp_path, 1, monkeypatch), sent(tmp_path, 100, monkeypatch)
    assert len(large) == 100
    assert max(map(len, large)) < len(small) + 100, "bytes"


def test_a_job_keeps_its_own_configuration_and_place(tmp_path: Path) -> None:
    task = set_up(ProcessLauncher(1), tmp_path, 5).runner.only(3).task
    assert list(task.jobs) == [3] and task.jobs[3].run_id == f"{3:012x}"
    assert task._name(3).startswith("[4/5] ")


@pytest.mark.parametrize(
    ("jobs", "n_jobs", "size", "arrays"),
    [
        (3, 256, 1001, [(3, 256, None)]),
        (10, 7, 4, [(4, 3, None), (4, 2, None), (2, 2, None)]),
        (10, 2, 4, [(4, 1, None), (4, 1, None), (2, 1, "afterany:71")]),  # two arrays at a time
        (6, 1, 2, [(2, 1, None), (2, 1, "afterany:71"), (2, 1, "afterany:72")]),
        (1002, 256, 1001, [(501, 128, None), (501, 128, None)]),
    ],
)
def test_arrays_are_no_larger_than_slurm_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, n_jobs: int, size: int, arrays: list[Any]
) -> None:
    executor = submitted(tmp_path, jobs, monkeypatch, n_jobs, size)
    found = [
        (len(array), parameters["slurm_array_parallelism"], parameters.get("slurm_dependency"))
        for array, parameters in executor.arrays
    ]
    assert found == arrays
    assert [job.number for array, _ in executor.arrays for job in array] == list(range(jobs))


def test_no_array_is_left_when_slurm_refuses_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: commands.append(command))
    with pytest.raises(ConfigError, match=r"sbatch: .*Invalid job array"):
        submitted(tmp_path, 6, monkeypatch, size=2, refused=2)
    assert [(command[0], sorted(command[1:])) for command in commands] == [("scancel", ["71", "72"])]


def test_the_limit_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert max_array_size() == 1000
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'MaxArraySize            = 40001'\necho 'MaxJobCount             = 10000'\n")
    scontrol.chmod(0o755)
    assert max_array_size() == 40001
    scontrol.write_text("#!/bin/sh\nexit 1\n")
    assert max_array_size() == 1000


def test_a_process_that_cannot_be_started_fails_only_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, pipes = Context(), list[Any]()
    errors = {1: BlockingIOError(11, "Resource temporarily unavailable"), 2: EOFError("unexpected EOF")}

    def pipe(duplex: bool) -> Any:
        pipes.append(Pipe(duplex))
        return pipes[-1]

    def process(target: Any, args: Any) -> Any:
        made = Context.Process(context, target, args)
        if error := errors.get(len(context.payloads) - 1):
            made.start = Mock(side_effect=error)
        return made

    monkeypatch.setattr(context, "Pipe", pipe)
    monkeypatch.setattr(context, "Process", process)
    monkeypatch.setattr(processes, "get_context", lambda method: context)
    monkeypatch.setattr(processes.forkserver, "ensure_running", lambda: None)
    launcher = set_up(ProcessLauncher(1), tmp_path, 4)
    done = launcher.launch(overrides(4), 0)
    assert [job.status.name for job in done] == ["COMPLETED", "FAILED", "FAILED", "COMPLETED"]
    assert [str(job._return_value) for job in done[1:3]] == [
        "job 1: its process cannot be started (Resource temporarily unavailable); the same command resumes it",
        "job 2: its process cannot be started (unexpected EOF); the same command resumes it",
    ]
    assert launcher._gpus.qsize() == 1
    assert all(connection.closed for pair in pipes for connection in pair)


def test_a_worker_stops_watching_for_a_stop_when_its_job_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption while it sends the result would lose it."""
    task = set_up(ProcessLauncher(1), tmp_path, 1).runner.task
    task.launcher_pid = 0  # as in a worker
    monkeypatch.setattr(HydraConfig, "get", lambda: SimpleNamespace(job=SimpleNamespace(num=0)))
    monkeypatch.setattr(Jobs, "_train", lambda self, number: {"threads": threading.active_count()})
    before = threading.active_count()
    assert task(base(tmp_path))["threads"] == before + 1
    assert threading.active_count() == before


class Queue:
    """Of Slurm: in every interval, the next job of an array ends, in the given order.

    Args:
        killed: those that end without a result.
    """

    def __init__(self, folder: Path, order: list[int], killed: list[int]) -> None:
        self.folder, self.order, self.killed = folder, order, killed
        self.ended: list[int] = []
        self.queries: list[list[str]] = []

    def job(self, index: int) -> Any:
        paths = SimpleNamespace(result_pickle=self.folder / f"{index}.pkl", folder=self.folder, stderr="its log")
        return SimpleNamespace(job_id=f"71_{index}", paths=paths, _get_outcome_and_result=lambda: ("success", DONE))

    def sleep(self, seconds: float) -> None:
        self.ended.append(self.order[len(self.ended)])
        if self.ended[-1] not in self.killed:
            (self.folder / f"{self.ended[-1]}.pkl").touch()

    def run(self, command: list[str], **options: Any) -> Any:
        self.queries.append(command)
        listed = "".join(f"71_{job} RUNNING\n" for job in self.order if job not in self.ended)
        return SimpleNamespace(returncode=0, stdout=listed, stderr="")


def on_slurm(queue: Queue, jobs: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A launcher whose jobs are in the queue."""
    module = "hydra_plugins.stargan_lab_launchers.batch"
    monkeypatch.setattr(f"{module}.FILE_SYSTEM_SECONDS", 0)
    monkeypatch.setattr(f"{module}.max_array_size", lambda: 1000)
    monkeypatch.setattr("time.sleep", queue.sleep)
    monkeypatch.setattr(subprocess, "run", queue.run)
    executor = SimpleNamespace(
        update_parameters=lambda **parameters: None, submit_array=lambda jobs: [queue.job(job.number) for job in jobs]
    )
    launcher = set_up(SubmititLauncher("slurm", str(queue.folder), jobs, cpus_per_task=1), queue.folder, jobs)
    monkeypatch.setattr(launcher, "_executor", lambda: executor)
    return launcher


def test_every_job_is_reported_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one query of the queue per interval, however many jobs there are."""
    queue, reported = Queue(tmp_path, [3, 0, 2, 1], killed=[0]), list[tuple[str, int]]()
    monkeypatch.setattr(Jobs, "job_ended", lambda self, number: reported.append(("ended", number)))
    monkeypatch.setattr(Jobs, "job_lost", lambda self, number: reported.append(("lost", number)))
    done = on_slurm(queue, 4, monkeypatch).launch(overrides(4), 0)
    assert reported == [("ended", 3), ("lost", 0), ("ended", 2), ("ended", 1)]
    assert [job.status.name for job in done] == ["FAILED", "COMPLETED", "COMPLETED", "COMPLETED"]
    assert str(done[0]._return_value).startswith("job 0: its process ended without a result, see its log")
    assert len(queue.queries) == 4 and {command[-1] for command in queue.queries} == {"--jobs=71"}


def test_errors_of_a_query_cancel_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file system and Slurm are unavailable for a while; the launcher asks again, and warns once."""
    queue = Queue(tmp_path, [1, 0], killed=[])
    launcher = on_slurm(queue, 2, monkeypatch)
    stale, missing = OSError(errno.ESTALE, "Stale file handle"), FileNotFoundError(errno.ENOENT, "no such file: squeue")
    exists, run, failures = Path.exists, queue.run, {"exists": [stale], "run": [missing]}

    def fail(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if failures[name] and (name == "run" or args[0].suffix == ".pkl"):
                raise failures[name].pop()
            return answer(*args, **options)

        return call

    monkeypatch.setattr(Path, "exists", fail("exists", exists))
    monkeypatch.setattr(subprocess, "run", fail("run", run))
    monkeypatch.setattr(queue, "sleep", lambda seconds: None if any(failures.values()) else Queue.sleep(queue, seconds))
    monkeypatch.setattr("time.sleep", lambda seconds: queue.sleep(seconds))
    done = launcher.launch(overrides(2), 0)
    assert [job.status.name for job in done] == ["COMPLETED", "COMPLETED"]
    assert not any(failures.values()) and {command[0] for command in queue.queries} == {"squeue"}
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1 and "Stale file handle" in warnings[0]


def test_a_second_signal_cancels_the_jobs_behind_one_that_has_just_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    def kill(process: int, number: int) -> None:
        if process == 7:
            raise ProcessLookupError
        killed.append(process)

    monkeypatch.setattr("os.kill", kill)
    launcher = set_up(SubmititLauncher("local", str(tmp_path), 2, cpus_per_task=1), tmp_path, 2)
    monkeypatch.setattr(launcher, "_executor", lambda: None)

    def interrupted(executor: Any, jobs: Any) -> Any:
        launcher._submitted = [SimpleNamespace(job_id=name, done=lambda: False) for name in ("7", "8")]
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(launcher, "_local", interrupted)
    with pytest.raises(Stopped):
        launcher.launch(overrides(2), 0)
    assert killed == [8]
