"""The progress of a sweep: its runs by status, across the processes of any launcher, and the time left."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from stargan_lab.console import rounded_duration
from stargan_lab.tracking.run_folder import RunFolder


@dataclass(frozen=True)
class Counts:
    """Runs of a sweep by status.

    Attributes:
        left: neither finished nor failed nor running; interrupted runs among them.
        seconds_per_run: mean over the runs that this sweep has finished; None before the first.
        parallel: the largest number of runs that were trained at the same time, at least 1.
    """

    finished: int
    failed: int
    running: int
    left: int
    seconds_per_run: float | None
    parallel: int = 1

    def text(self) -> str:
        """``3 finished, 0 failed, 6 left, about 4 min left``; also how many are running, if any.

        The time is an estimate once a run has finished; those that are running count half.
        """
        running = f"{self.running} running, " if self.running else ""
        text = f"{self.finished} finished, {self.failed} failed, {running}{self.left} left"
        if self.seconds_per_run is not None and (left := self.left + self.running / 2):
            parallel = min(self.parallel, self.left + self.running)
            return f"{text}, about {rounded_duration(self.seconds_per_run * left / parallel)} left"
        return text


class SweepProgress:
    """Status of every run of a sweep, from the runs' folders and a journal of the jobs that this sweep has run.

    The folders alone do not say that a job is about to start, or that it failed before it had anything to record.

    Args:
        folders: of all runs of the sweep; those of the jobs come last, in the order of the job numbers.
        jobs: how many of them this sweep trains.
        journal: file to which every process appends a line when one of its jobs starts or ends.
    """

    def __init__(self, folders: Sequence[RunFolder], jobs: int, journal: Path) -> None:
        self._folders, self._jobs, self._journal = folders, jobs, journal

    def position(self, job: int) -> str:
        """``[4/9]``: the job's place among all runs of the sweep."""
        return f"[{len(self._folders) - self._jobs + job + 1}/{len(self._folders)}]"

    def restart(self) -> None:
        """Forget the jobs of an earlier sweep with the same journal."""
        self._journal.unlink(missing_ok=True)

    @contextmanager
    def job(self, number: int) -> Iterator[None]:
        """Record that a job runs, until the end of the context."""
        trains = self._folder(number).status() != "finished"
        self._append(f"start {number}")
        began = time.monotonic()
        try:
            yield
        finally:
            self._append(f"end {number} {time.monotonic() - began if trains else 0:.3f}")

    def lost(self, number: int) -> None:
        """Record that a job's process ended before it could do so itself."""
        self._append(f"end {number} 0")

    def counts(self) -> Counts:
        """The status of every run now. Raises LabError if a ``result.json`` is damaged."""
        entries = [line.split() for line in self._journal.read_text().splitlines()] if self._journal.exists() else []
        started = {int(entry[1]) for entry in entries if entry[0] == "start"}
        ended = {int(entry[1]): float(entry[2]) for entry in entries if entry[0] == "end"}
        skipped = len(self._folders) - self._jobs
        statuses: list[str] = [folder.status() for folder in self._folders[:skipped]]
        statuses += [self._job_status(job, job in started, job in ended) for job in range(self._jobs)]
        seconds = [taken for job, taken in ended.items() if taken and statuses[skipped + job] == "finished"]
        of = Counter(statuses)
        done = of["finished"] + of["failed"] + of["diverged"] + of["running"]
        return Counts(
            of["finished"],
            of["failed"] + of["diverged"],
            of["running"],
            len(statuses) - done,
            fmean(seconds) if seconds else None,
            max([1, *accumulate(1 if entry[0] == "start" else -1 for entry in entries)]),
        )

    def _job_status(self, job: int, started: bool, ended: bool) -> str:
        status = self._folder(job).status()
        if status in ("finished", "running"):
            return status
        if not ended:
            return "running" if started else "left"  # also a failed run that is to be trained again
        return status if status in ("interrupted", "diverged") else "failed"

    def _folder(self, job: int) -> RunFolder:
        return self._folders[len(self._folders) - self._jobs + job]

    def _append(self, line: str) -> None:
        with self._journal.open("a") as file:
            file.write(f"{line}\n")  # one write, so that lines of several processes do not mix
