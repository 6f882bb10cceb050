"""What a job of submitit runs: it saves before it is requeued."""

import os
import signal
import sys
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.stargan_lab_launchers._job import JobRunner, raise_stopped, unblock
from stargan_lab.errors import JobStopped


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
    """Let what a terminal sends reach only the launcher, which then tells every job to save."""
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
        self._on_sigterm: Any = signal.signal(signal.SIGTERM, raise_stopped)  # training replaces it
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(self._number, self._handler)

    def _save(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        os.kill(os.getpid(), signal.SIGTERM)

    def requeue(self) -> None:
        """Requeue this job and exit, if the preemption signal was received."""
        if self._received:
            self._handler(self._number)
