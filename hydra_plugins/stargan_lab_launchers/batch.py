"""The launchers ``submitit_local`` and ``submitit_slurm``: every job is submitted with submitit and can be requeued."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from typing import Any

from hydra.core.utils import JobReturn, configure_log

from hydra_plugins.stargan_lab_launchers._batch_job import BatchJob
from hydra_plugins.stargan_lab_launchers._job import (
    LabLauncher,
    Number,
    blocked_in_children,
    check_numbers,
    errors_held_back,
)
from stargan_lab.console import inform, say
from stargan_lab.errors import ConfigError, one_line

SHARED_PARAMETERS = (
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node"),
    *("mem_gb", "nodes", "name", "stderr_to_stdout"),
)
"""Parameters that submitit takes without the name of the cluster as a prefix."""

NUMBERS = {
    **dict.fromkeys(("timeout_min", "cpus_per_task", "tasks_per_node", "nodes"), Number(1)),
    **dict.fromkeys(("gpus_per_node", "signal_delay_s"), Number(0)),
    "max_num_timeout": Number(0, optional=False),
    "poll_seconds": Number(0.01, whole=False, optional=False),
    "mem_gb": Number(0, whole=False),
}

USUAL_ARRAY_SIZE = 1000
"""Of a cluster that does not tell its ``MaxArraySize``, whose default is 1001."""

FILE_SYSTEM_SECONDS = 5
"""How long a result may stay invisible on a shared file system after its job has ended."""


class SubmititLauncher(LabLauncher):
    """Submits every job and waits for all of them. A job that ends without a result leaves the others running.

    A job that receives submitit's preemption signal (USR2, also sent before the time limit) saves a checkpoint and is
    requeued; one that receives SIGTERM saves and leaves it to the scheduler whether it runs again.

    Args:
        cluster: ``local`` or ``slurm``.
        submitit_folder: for the jobs' logs and results, on a file system that all nodes share.
        n_jobs: how many jobs run at a time.
        max_num_timeout: how often a job is requeued after its time limit.
        poll_seconds: interval of the queries for jobs that have died.
        parameters: of submitit's executor, without ``slurm_``; null values are left out.
    Raises:
        ConfigError: submitit is not installed, Slurm is missing or refuses the job, ``cpus_per_task`` is null, or a
            parameter is not a number that it may be.
    """

    def __init__(
        self,
        cluster: str,
        submitit_folder: str,
        n_jobs: int,
        max_num_timeout: int = 0,
        poll_seconds: float = 10,
        **parameters: Any,
    ) -> None:
        check_numbers({**parameters, "max_num_timeout": max_num_timeout, "poll_seconds": poll_seconds}, NUMBERS)
        self.cluster, self.folder, self.n_jobs = cluster, submitit_folder, n_jobs
        self.max_num_timeout, self.poll_seconds = max_num_timeout, poll_seconds
        self.parameters = {key: value for key, value in parameters.items() if value is not None}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        executor = self._executor()
        numbered = enumerate(job_overrides, initial_job_idx)
        jobs = [BatchJob(self.runner.only(number), list(overrides), number) for number, overrides in numbered]
        self._submitted: list[Any] = []
        try:
            return (self._local if self.cluster == "local" else self._arrays)(executor, jobs)
        except (KeyboardInterrupt, ConfigError):  # a second Ctrl-C, or Slurm refuses an array: no job may outlive it
            self._cancel()
            raise

    def _local(self, executor: Any, jobs: Sequence[BatchJob]) -> list[JobReturn]:
        """Start ``n_jobs`` at a time; submitit would start all at once."""
        from joblib import Parallel, delayed

        def run(job: BatchJob) -> JobReturn:
            try:
                with blocked_in_children():  # submitit's process would kill its job within a second
                    submitted = executor.submit(job)
            except OSError as error:
                return self.lost(job.number, job.overrides, f"cannot be started ({one_line(error)})")
            self._submitted.append(submitted)
            return self._results([(submitted, job)])[0]

        parallel = Parallel(n_jobs=self.n_jobs, backend="threading", batch_size=1)
        return list(parallel(delayed(run)(job) for job in jobs))

    def _arrays(self, executor: Any, jobs: Sequence[BatchJob]) -> list[JobReturn]:
        """Submit as many arrays as Slurm's limit requires; at most ``n_jobs`` jobs of all of them run at a time.

        As many arrays as possible share ``n_jobs``; each further one starts after one of them has ended.
        """
        size = ceil(len(jobs) / ceil(len(jobs) / max_array_size()))  # of nearly equal arrays
        arrays = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        at_once, ids = min(self.n_jobs, len(arrays)), list[str]()
        for index, array in enumerate(arrays):
            share = self.n_jobs // at_once + (index % at_once < self.n_jobs % at_once)
            after = {"slurm_dependency": f"afterany:{ids[index - at_once]}"} if index >= at_once else {}
            try:
                executor.update_parameters(slurm_array_parallelism=share, **after)
                with errors_held_back():
                    submitted = executor.submit_array(array)
            except Exception as error:  # submitit's own, with the message of sbatch
                raise ConfigError(f"sbatch: {one_line(error)}") from None
            self._submitted += submitted
            ids.append(submitted[0].job_id.partition("_")[0])
        inform(f"submitted {len(jobs)} jobs to {self.cluster}; logs in {self._submitted[0].paths.folder.parent}")
        return self._results(list(zip(self._submitted, jobs, strict=True)))

    def _cancel(self) -> None:
        """End all jobs that were submitted, pending ones too, without waiting."""
        if self.cluster == "local":
            for job in self._submitted:
                with suppress(OSError):  # it has just ended
                    if not job.done():
                        os.kill(int(job.job_id), signal.SIGTERM)  # submitit's process, which passes it on
        elif arrays := {job.job_id.partition("_")[0] for job in self._submitted}:
            subprocess.run(["scancel", *arrays], capture_output=True, check=False, start_new_session=True)

    def _executor(self) -> Any:
        try:
            import submitit
        except ImportError:
            raise ConfigError("hydra/launcher: submitit is not installed; pip install 'stargan-lab[slurm]'") from None
        if "cpus_per_task" not in self.parameters:
            raise ConfigError("trainer.threads: set a number; a job's cores must not depend on this machine")
        arguments = {f"{self.cluster}_max_num_timeout": self.max_num_timeout}
        parameters = {
            key if key in SHARED_PARAMETERS else f"{self.cluster}_{key}": value
            for key, value in self.parameters.items()
        }
        try:
            executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster, **arguments)
            executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, NameError, AssertionError) as error:  # no Slurm here, unknown parameters
            raise ConfigError(f"hydra.launcher: {one_line(error)}") from None
        return executor

    def _results(self, pairs: Sequence[tuple[Any, BatchJob]]) -> list[JobReturn]:
        """Wait until every job has a result or has died, and report each one when it ends."""
        waiting, results, states = dict(enumerate(pairs)), dict[int, JobReturn](), dict[str, str]()
        warned = False
        while waiting:
            try:
                self._poll(waiting, results, states)
            except OSError as error:  # the jobs run on while the file system or a command of Slurm is unavailable
                if not warned:
                    say(f"warning: the jobs cannot be queried ({one_line(error)}); trying again until they can")
                warned = True
            else:
                warned = False
            if waiting:
                time.sleep(self.poll_seconds)
        return [results[n] for n in range(len(pairs))]

    def _poll(
        self, waiting: dict[int, tuple[Any, BatchJob]], results: dict[int, JobReturn], states: dict[str, str]
    ) -> None:
        """Move the jobs that have ended from ``waiting`` to ``results``; ``states`` are those of the last poll."""

        def move(numbers: list[int]) -> None:
            for n in numbers:
                results[n] = self._outcome(*waiting[n])
                del waiting[n]

        started = [n for n, (submitted, _) in waiting.items() if states.get(submitted.job_id) != "PENDING"]
        move([n for n in started if _has_result(waiting[n][0])])
        if not waiting:
            return
        now = self._states([submitted for submitted, _ in waiting.values()])
        states.clear()
        states.update(now)
        ended = [n for n, (submitted, _) in waiting.items() if submitted.job_id not in states]
        _wait_for_files([waiting[n][0] for n in ended])
        move(ended)

    def _outcome(self, submitted: Any, job: BatchJob) -> JobReturn:
        """What a job that has ended returned."""
        if not _has_result(submitted):
            reason = f"its process ended without a result, see {submitted.paths.stderr}"
            return self.lost(job.number, job.overrides, reason)
        try:
            outcome, value = submitted._get_outcome_and_result()
        except OSError:  # asked again
            raise
        except Exception as error:  # of any kind, of a damaged pickle
            return self.lost(job.number, job.overrides, f"its result cannot be read ({one_line(error)})")
        self.task.job_ended(job.number)
        return value if outcome == "success" else self.lost(job.number, job.overrides, value.strip().splitlines()[-1])

    def _states(self, jobs: Sequence[Any]) -> dict[str, str]:
        """Id -> state of the jobs that wait or run. ``sacct``, which submitit asks, needs an accounting database."""
        if self.cluster == "local":
            return {job.job_id: "RUNNING" for job in jobs if not job.done()}
        arrays = ",".join(dict.fromkeys(job.job_id.partition("_")[0] for job in jobs))
        if self.task.stop_file.exists():  # started jobs save and end, the others need not start
            subprocess.run(["scancel", "--state=PENDING", *arrays.split(",")], capture_output=True, check=False)
        command = ["squeue", "--noheader", "--array", "--format=%i %T", f"--jobs={arrays}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode and "Invalid job id" not in answer.stderr:  # the controller may be unavailable for now
            return {job.job_id: "UNKNOWN" for job in jobs}
        return dict(line.split(maxsplit=1) for line in answer.stdout.splitlines() if line.strip())


def _has_result(job: Any) -> bool:
    return bool(job.paths.result_pickle.exists())


def _wait_for_files(jobs: Sequence[Any]) -> None:
    """Wait until the results of jobs that have ended are visible, or will not be."""
    deadline = time.monotonic() + FILE_SYSTEM_SECONDS
    while not all(map(_has_result, jobs)) and time.monotonic() <= deadline:
        time.sleep(0.1)


def max_array_size() -> int:
    """How many jobs an array of this cluster can have."""
    try:
        settings = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False).stdout
    except OSError:
        settings = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", settings, re.M)
    return max(int(found[1]), 1) if found else USUAL_ARRAY_SIZE
