"""The launchers ``submitit_local`` and ``submitit_slurm``: every job is submitted with submitit and can be requeued."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from math import ceil
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log

from hydra_plugins.stargan_lab_launchers._job import JobRunner, LabLauncher, blocked_in_children, unblock
from stargan_lab.console import inform
from stargan_lab.errors import ConfigError, JobStopped, Stopped, one_line

SHARED_PARAMETERS = (
    *("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node"),
    *("mem_gb", "nodes", "name", "stderr_to_stdout"),
)
"""Parameters that submitit takes without the name of the cluster as a prefix."""

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
        ConfigError: submitit is not installed, Slurm is missing or refuses the job, or ``cpus_per_task`` is null.
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
        except BaseException:  # a second Ctrl-C: no job may outlive the launcher
            self._cancel()
            raise

    def _local(self, executor: Any, jobs: Sequence["BatchJob"]) -> list[JobReturn]:
        """Start ``n_jobs`` at a time; submitit would start all at once."""
        from joblib import Parallel, delayed

        def run(job: BatchJob) -> JobReturn:
            with blocked_in_children():  # submitit's process would kill its job within a second
                submitted = executor.submit(job)
            self._submitted.append(submitted)
            return self._result(submitted, job.overrides, job.number)

        parallel = Parallel(n_jobs=self.n_jobs, backend="threading", batch_size=1)
        return list(parallel(delayed(run)(job) for job in jobs))

    def _arrays(self, executor: Any, jobs: Sequence["BatchJob"]) -> list[JobReturn]:
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
                submitted = executor.submit_array(array)
            except Exception as error:  # submitit's own, with the message of sbatch
                raise ConfigError(f"sbatch: {one_line(error)}") from None
            self._submitted += submitted
            ids.append(submitted[0].job_id.partition("_")[0])
        inform(f"submitted {len(jobs)} jobs to {self.cluster}; logs in {self._submitted[0].paths.folder.parent}")
        pairs = zip(self._submitted, jobs, strict=True)
        return [self._result(submitted, job.overrides, job.number) for submitted, job in pairs]

    def _cancel(self) -> None:
        """End all jobs that were submitted, pending ones too, without waiting."""
        if self.cluster == "local":
            for job in self._submitted:
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
        except (RuntimeError, ValueError, NameError) as error:  # no Slurm here, unknown parameters
            raise ConfigError(f"hydra.launcher: {one_line(error)}") from None
        return executor

    def _result(self, job: Any, overrides: list[str], number: int) -> JobReturn:
        """Wait until a job has a result or has died."""
        while not job.paths.result_pickle.exists():
            if not self._alive(job):
                return self._late_result(job, overrides, number)
            time.sleep(self.poll_seconds)
        outcome, value = job._get_outcome_and_result()
        self.task.job_ended(number)
        return value if outcome == "success" else self.lost(number, overrides, value.strip().splitlines()[-1])

    def _late_result(self, job: Any, overrides: list[str], number: int) -> JobReturn:
        deadline = time.monotonic() + FILE_SYSTEM_SECONDS
        while not job.paths.result_pickle.exists():
            if time.monotonic() > deadline:
                return self.lost(number, overrides, f"its process ended without a result, see {job.paths.stderr}")
            time.sleep(0.1)
        return self._result(job, overrides, number)

    def _alive(self, job: Any) -> bool:
        """Whether a job waits or runs. Asks ``squeue``, since submitit's ``sacct`` needs an accounting database."""
        if self.cluster == "local":
            return not job.done()
        if self.task.stop_file.exists():  # started jobs save and end, the others need not start
            subprocess.run(["scancel", "--state=PENDING", job.job_id], capture_output=True, check=False)
        command = ["squeue", "--noheader", "--format=%i", f"--jobs={job.job_id}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:  # the controller may be unavailable for now, and forgets jobs that ended long ago
            return "Invalid job id" not in answer.stderr
        return bool(answer.stdout.strip())


def max_array_size() -> int:
    """How many jobs an array of this cluster can have."""
    try:
        settings = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False).stdout
    except OSError:
        settings = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", settings, re.M)
    return max(int(found[1]), 1) if found else USUAL_ARRAY_SIZE


class BatchJob:
    """What a submitted job runs; submitit requeues it with ``checkpoint``."""

    def __init__(self, runner: JobRunner, overrides: list[str], number: int) -> None:
        self.runner, self.overrides, self.number = runner, overrides, number

    def __call__(self) -> JobReturn:
        preemption = _Preemption()
        try:
            with preemption:
                if os.environ["SUBMITIT_EXECUTOR"] == "local":
                    _leave_terminal()
                done = self.runner(self.overrides, self.number)
        except KeyboardInterrupt:  # before the run began, or after it ended
            stopped = JobStopped("stopped")
            done = JobReturn(overrides=self.overrides, status=JobStatus.FAILED, _return_value=stopped)
        if isinstance(done._return_value, JobStopped) and not self.runner.task.stop_file.exists():
            preemption.requeue()
            sys.exit(128 + signal.SIGTERM)  # without a result: a scheduler that sent SIGTERM may start the job again
        return done

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _leave_terminal() -> None:
    """Let what a terminal sends reach only the launcher, which then tells every job to save; see ``_local``."""
    os.setpgid(0, 0)
    unblock()


class _Preemption:
    """Context in which a job that receives the preemption signal or SIGTERM saves before it ends.

    Submitit would requeue it at once, and ignore SIGTERM. In training, the run saves a checkpoint after its step; at
    other times there is nothing to save, so it ends.
    """

    def __init__(self) -> None:
        from submitit.core.job_environment import JobEnvironment

        self._number: int = JobEnvironment._usr_sig()
        self._received = False

    def __enter__(self) -> "_Preemption":
        self._handler: Any = signal.signal(self._number, self._save)
        self._on_sigterm: Any = signal.signal(signal.SIGTERM, self._stop)  # training replaces it
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(self._number, self._handler)

    def _save(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    def requeue(self) -> None:
        """Requeue this job and exit, if the preemption signal was received."""
        if self._received:
            self._handler(self._number)
