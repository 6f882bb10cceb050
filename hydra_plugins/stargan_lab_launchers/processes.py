"""The launchers ``basic`` and ``joblib``: every job in its own process, one or several at a time."""

import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn, configure_log

from hydra_plugins.stargan_lab_launchers._job import JobRunner, LabLauncher, blocked_in_children, unblock
from stargan_lab.errors import one_line

PRELOADED = ["hydra_plugins.stargan_lab_launchers._quick_end", "hydra_plugins.stargan_lab_launchers._preloaded"]
"""Imported once per sweep, by the server that forks the jobs' processes."""


class ProcessLauncher(LabLauncher):
    """Runs jobs with joblib, each in a new process; one that fails or is killed leaves the others running.

    The processes are forked from a server that has imported torch but used neither it nor a GPU.

    Args:
        n_jobs: how many jobs run at a time; -1 for one per core. Several share the visible GPUs in turn. The command
            has replaced null by a number, see ``stargan_lab.cli.capacity``.
    """

    def __init__(self, n_jobs: int = 1) -> None:
        self.n_jobs = n_jobs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from joblib import Parallel, delayed, effective_n_jobs

        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        workers = min(effective_n_jobs(self.n_jobs), len(job_overrides))
        self._gpus: SimpleQueue[str | None] = SimpleQueue()
        for gpu in _shared_gpus(workers):
            self._gpus.put(gpu)
        self._processes: set[Any] = set()
        numbered = enumerate(job_overrides, initial_job_idx)
        try:
            return list(
                Parallel(n_jobs=workers, backend="threading", batch_size=1)(
                    delayed(self._in_process)(list(overrides), number) for number, overrides in numbered
                )
            )
        except BaseException:  # a second Ctrl-C: no process may outlive the launcher
            for process in list(self._processes):
                process.kill()
            raise

    def _in_process(self, overrides: list[str], number: int) -> JobReturn:
        """Run a job in a new process, with a GPU if several jobs share them, and wait for it."""
        gpu = self._gpus.get()
        try:
            payload = cloudpickle.dumps((self.runner.only(number), overrides, number, dict(os.environ), gpu))
            return self._result(payload, overrides, number)
        finally:
            self._gpus.put(gpu)

    def _result(self, payload: bytes, overrides: list[str], number: int) -> JobReturn:
        try:
            process, reader = self._start(payload)
        except (EOFError, OSError) as error:  # EOFError: the server has died
            reason = getattr(error, "strerror", None) or one_line(error)
            return self.lost(number, overrides, f"its process cannot be started ({reason})")
        try:
            done: JobReturn = cloudpickle.loads(reader.recv_bytes())
        except (EOFError, OSError):  # OSError: killed while it sent its result
            process.join()
            done = self.lost(number, overrides, _cause(process.exitcode))
        finally:
            reader.close()
            process.join()
            self._processes.discard(process)
        return done

    def _start(self, payload: bytes) -> tuple[Any, Connection]:
        """Start a job's process; returns it and the connection to receive its result from."""
        context = get_context("forkserver")
        reader, writer = context.Pipe(duplex=False)
        try:
            start_server()
            process = context.Process(target=_child, args=(payload, writer))
            process.start()
        except BaseException:
            reader.close()
            raise
        finally:
            writer.close()
        self._processes.add(process)
        return process, reader


def start_server() -> None:
    """Start the server that forks jobs' processes, unless it runs. Its imports take seconds, but not this process."""
    get_context("forkserver").set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # the server starts it otherwise, which unblocks signals
    with blocked_in_children():
        forkserver.ensure_running()


def _child(payload: bytes, writer: Connection) -> None:
    """What a job's process runs."""
    os.setpgid(0, 0)  # what a terminal sends reaches only the launcher, which then tells every job to save
    unblock()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    runner, overrides, number, environment, gpu = cloudpickle.loads(payload)
    os.environ.clear()
    os.environ.update(environment)
    done = _run(runner, overrides, number, gpu)
    writer.send_bytes(cloudpickle.dumps(done))


def _run(runner: JobRunner, overrides: list[str], number: int, gpu: str | None) -> JobReturn:
    if gpu is not None and ":" not in str(runner.compose(overrides, number).trainer.device):  # not chosen by the user
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    return runner(overrides, number)


def _end_with_launcher() -> None:
    """End this process if the launcher dies, so that the same command can resume the run immediately."""
    launcher = parent_process()
    assert launcher is not None
    wait([launcher.sentinel])
    os._exit(1)


def _cause(exitcode: int | None) -> str:
    """``killed by SIGKILL``, or the exit code."""
    if exitcode is not None and exitcode < 0:
        hint = " (out of memory?)" if -exitcode == signal.SIGKILL else ""
        return f"its process was killed by {signal.Signals(-exitcode).name}{hint}"
    return f"its process exited with code {exitcode}"


def _shared_gpus(workers: int) -> list[str | None]:
    """A GPU for each of several workers, in turn; None if there is one worker or no GPU to share."""
    visible = _visible_gpus() if workers > 1 else []
    return [visible[worker % len(visible)] if visible else None for worker in range(workers)]


def _visible_gpus() -> list[str]:
    """The GPUs of this process as CUDA_VISIBLE_DEVICES names them, without initializing CUDA."""
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in listed.split(",") if name]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
