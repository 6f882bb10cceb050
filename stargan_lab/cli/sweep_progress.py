"""The progress of a sweep: its runs by status, across the processes of any launcher, and the time left."""

import copy
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stargan_lab.console import rounded_duration
from stargan_lab.errors import LabError
from stargan_lab.tracking.run_folder import RunFolder

_ENDS = ("finished", "running", "interrupted", "diverged", "failed")
_LINE = re.compile(rf"start (?P<started>\d+)|end (?P<ended>\d+) (?P<seconds>\d+\.?\d*) (?P<status>{'|'.join(_ENDS)})")


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
    """Status of every run of a sweep, from a journal of the jobs that this sweep has run.

    A run's folder is read once, at the end of its job, which writes the status to the journal: reading all folders at
    every start and end of a job would take hours in a sweep of 10,000. All folders are read once before the first job.

    Args:
        folders: of all runs of the sweep; those of the jobs come last, in the order of the job numbers.
        jobs: how many of them this sweep trains.
        journal: file to which every process appends a line when one of its jobs starts or ends.
    """

    def __init__(self, folders: Sequence[RunFolder], jobs: int, journal: Path) -> None:
        skipped, of_jobs = folders[: len(folders) - jobs], folders[len(folders) - jobs :]
        self._skipped: Counter[str] = Counter(map(_status, skipped))
        self._paths = {job: folder.path for job, folder in enumerate(of_jobs)}  # a RunFolder cannot be pickled
        self._jobs, self._runs, self._journal = jobs, len(folders), journal

    def only(self, job: int) -> "SweepProgress":
        """One for the process of a job; its size does not depend on the number of runs."""
        mine = copy.copy(self)
        mine._paths = {job: self._paths[job]} if job in self._paths else {}
        return mine

    def position(self, job: int) -> str:
        """``[4/9]``: the job's place among all runs of the sweep."""
        return f"[{self._runs - self._jobs + job + 1}/{self._runs}]"

    def restart(self) -> None:
        """Begin the journal, with the jobs whose runs are finished already. Raises LabError for a damaged result."""
        finished = [job for job, path in self._paths.items() if RunFolder(path).status() == "finished"]
        self._journal.write_text("".join(f"end {job} 0 finished\n" for job in finished))

    @contextmanager
    def job(self, number: int) -> Iterator[None]:
        """Record that a job runs, until the end of the context. One that is stopped before it trains has no result."""
        trains = _status(RunFolder(self._paths[number])) != "finished"
        self._append(f"start {number}")
        began, without_result = time.monotonic(), "failed"
        try:
            yield
        except KeyboardInterrupt:
            without_result = "interrupted"
            raise
        finally:
            self._end(number, time.monotonic() - began if trains else 0.0, without_result)

    def lost(self, number: int) -> None:
        """Record that a job's process ended before it could do so itself."""
        self._end(number, 0.0)

    def counts(self) -> Counts:
        """The status of every run now. Runs that another sweep trains count once this one has come to them."""
        running, ended, parallel = set[str](), dict[str, tuple[float, str]](), 1
        for line in self._lines():
            if (entry := _LINE.fullmatch(line)) is None:  # empty or torn
                continue
            if (job := entry["started"]) is not None:  # a job that was requeued or restarted starts again
                running.add(job)
                ended.pop(job, None)
                parallel = max(parallel, len(running))
            else:
                running.discard(entry["ended"])
                ended[entry["ended"]] = (float(entry["seconds"]), entry["status"])
        of = self._skipped + Counter(status for _, status in ended.values())
        seconds = [taken for taken, status in ended.values() if taken and status == "finished"]
        failed, now = of["failed"] + of["diverged"], of["running"] + len(running)
        left = self._runs - of["finished"] - failed - now
        return Counts(of["finished"], failed, now, left, fmean(seconds) if seconds else None, parallel)

    def _end(self, job: int, seconds: float, without_result: str = "failed") -> None:
        status = _status(RunFolder(self._paths[job]))
        self._append(f"end {job} {seconds:.3f} {status if status in _ENDS else without_result}")

    def _lines(self) -> list[str]:
        try:
            return self._journal.read_text(errors="replace").splitlines()
        except OSError:
            return []

    def _append(self, line: str) -> None:
        """Add a line in one write, so that lines of several processes do not mix. The last one may be torn."""
        with suppress(OSError), self._journal.open("a") as file:
            file.write(f"\n{line}\n")


def _status(folder: RunFolder) -> str:
    try:
        return folder.status()
    except (LabError, OSError):  # its result.json is damaged, or the file system is unavailable
        return "failed"
