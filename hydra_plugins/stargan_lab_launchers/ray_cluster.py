"""The launcher ``ray``: every job is a Ray task in a new worker, on this machine or on a cluster."""

import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn, configure_log

from hydra_plugins.stargan_lab_launchers._job import (
    LabLauncher,
    Number,
    blocked_in_children,
    check_numbers,
    errors_held_back,
    raise_stopped,
    unblock,
)
from stargan_lab.errors import ConfigError, one_line, stop_signals

NUMBERS = {
    "num_cpus": Number(1),
    "num_gpus": Number(0, whole=False, optional=False),
    "max_retries": Number(-1, optional=False),
}
"""Retries: -1 for no limit."""

CONNECT_SECONDS = 10.0
"""How long a cluster may take to accept a connection; Ray itself would try for minutes."""


class RayLauncher(LabLauncher):
    """Runs jobs as Ray tasks. A job whose worker dies, including for lack of memory, is restarted and resumes.

    Args:
        n_jobs: how many jobs run at a time.
        address: of a cluster, ``auto`` for the one of this machine; None starts Ray for this sweep. All nodes must
            share the directory of the command.
        num_cpus: cores that a job reserves.
        num_gpus: GPUs that a job reserves and sees; may be a fraction.
        max_retries: how often a job whose worker died is restarted.
    Raises:
        ConfigError: Ray is not installed or cannot be reached, ``num_cpus`` is None, a value is not a number that it
            may be, or no node has as many cores and GPUs.
    """

    def __init__(
        self, n_jobs: int, address: str | None, num_cpus: int | None, num_gpus: float = 0, max_retries: int = 2
    ) -> None:
        check_numbers({"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": max_retries}, NUMBERS)
        if num_gpus > 1 and num_gpus % 1:
            raise ConfigError(f"hydra.launcher.num_gpus: expected a part of one GPU or a whole number, got {num_gpus}")
        self.n_jobs, self.address, self.max_retries = n_jobs, address, max_retries
        self.num_cpus, self.num_gpus = num_cpus, num_gpus

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if self.num_cpus is None:
            raise ConfigError("trainer.threads: set a number; a job's cores must not depend on this machine")
        ray = self._connect()
        try:
            self._check_resources(ray.nodes())
            return self._run_all(ray, deque(enumerate(map(list, job_overrides), initial_job_idx)))
        finally:
            ray.shutdown()

    def _connect(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not sys.stderr.isatty():
            os.environ.setdefault("RAY_COLOR_PREFIX", "0")
        self._check_reachable()
        if self.address is None:  # listen on the loopback interface only, as Ray does by default on other systems
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError:
            raise ConfigError("hydra/launcher: Ray is not installed; pip install 'stargan-lab[ray]'") from None
        local: dict[str, Any] = {}
        if self.address is None:  # the default of num_cpus may be too few for n_jobs
            cores = (self.num_cpus or 1) * self.n_jobs
            local = {"num_cpus": cores, "include_dashboard": False}
        handlers = {number: signal.getsignal(number) for number in stop_signals()}
        try:
            with blocked_in_children(), errors_held_back():
                ray.init(address=self.address, logging_level=logging.ERROR, **local)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"hydra.launcher.address: {one_line(error)}") from None
        finally:
            for number, handler in handlers.items():  # Ray replaces that of SIGTERM twice, in Python and in C
                signal.signal(number, handler)
        return ray

    def _check_reachable(self) -> None:
        """Raises ConfigError if nothing listens at the address ``HOST:PORT``."""
        host, _, port = (self.address or "").rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise ConfigError(f"hydra.launcher.address: cannot connect to {self.address} ({one_line(error)})") from None

    def _check_resources(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Raises ConfigError if no node has the cores and GPUs of a job, which Ray would wait for without end."""
        wanted = {"num_cpus": ("CPU", self.num_cpus or 0), "num_gpus": ("GPU", self.num_gpus)}
        resources = [node["Resources"] for node in nodes if node["Alive"]]
        for option, (kind, number) in wanted.items():
            most = max((each.get(kind, 0) for each in resources), default=0)
            if number > most:
                raise ConfigError(
                    f"hydra.launcher.{option}: a run needs {number:g}, but no node has more than {most:g}"
                )
        if not any(all(each.get(kind, 0) >= number for kind, number in wanted.values()) for each in resources):
            raise ConfigError(
                f"hydra.launcher: a run needs {self.num_cpus} cores and {self.num_gpus:g} GPUs, but no node has both"
            )

    def _run_all(self, ray: Any, waiting: "deque[tuple[int, list[str]]]") -> list[JobReturn]:
        task = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=self.max_retries, max_calls=1)(
            _job
        )
        running, done = dict[Any, tuple[int, list[str]]](), {}
        while waiting or running:
            while waiting and len(running) < self.n_jobs:
                number, overrides = waiting.popleft()
                runner = cloudpickle.dumps(self.runner.only(number))
                running[task.remote(runner, overrides, number, os.getcwd(), sys.path)] = (number, overrides)
            (ready,), _ = ray.wait(list(running), num_returns=1)
            number, overrides = running.pop(ready)
            try:
                done[number] = cloudpickle.loads(ray.get(ready))
            except ray.exceptions.RayError as error:
                done[number] = self.lost(number, overrides, one_line(error))
        return [done[number] for number in sorted(done)]


def _job(runner: bytes, overrides: list[str], number: int, folder: str, path: list[str]) -> bytes:
    """What a Ray worker runs: once, as in a new process, in the folder of the command."""
    unblock()  # Ray too blocks SIGINT
    for received in stop_signals():  # Ray's handler of SIGTERM calls sys.exit, which would count as the run's failure
        signal.signal(received, raise_stopped)
    os.chdir(folder)
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
    return cloudpickle.dumps(cloudpickle.loads(runner)(overrides, number))
