"""The plain files of a run, which are its primary record: MLflow and reports are built from them."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from stargan_lab.errors import ConfigError, LabError, LockedError, counted, nearest, one_line, preview
from stargan_lab.files import is_locked, locked, read_json, storing, write_atomically, write_json
from stargan_lab.files.partial import remove_partial
from stargan_lab.tracking.lease import Lease
from stargan_lab.tracking.metrics import Metric, lookup
from stargan_lab.tracking.record_types import Status, check_metric, check_result, check_tags
from stargan_lab.yaml_text import load_yaml

FAILED = ("failed", "diverged")
"""Statuses of runs that a sweep does not repeat unless told to; diverged: a loss was NaN or infinite."""
DAMAGED = "damaged"
"""Stands for the status of a run whose records cannot be read, where others are shown with it."""
GROUND_TRUTH = "ground_truth"
"""Stem of the grid with the exact translations, next to the samples of a run on generated data."""
TARGETS = "targets.json"
"""Describes the grids in ``samples/``: their targets, images and layout."""
CLAIM_SECONDS = 2.0  # a status query holds the lock for an instant; training holds it longer than this
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a damaged row of metrics can raise."""


class MetricRow(NamedTuple):
    """Metrics logged together. ``time`` is in Unix seconds, rounded to milliseconds."""

    step: int
    time: float
    metrics: dict[str, float]


class RunFolder:
    """``outputs/runs/<run_id>``: config.yaml, metrics.jsonl, descriptions.json, result.json, tags.json, samples/,
    checkpoints/, scores/; traceback.txt after an unexpected error.

    One process at a time appends metrics; tags may be added by several.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = path.name
        self.config_path = path / "config.yaml"
        self.metrics_path = path / "metrics.jsonl"
        self.descriptions_path = path / "descriptions.json"
        self.result_path = path / "result.json"
        self.tags_path = path / "tags.json"
        self.tags_lock_path = path / ".tags.lock"
        self.state_path = path / "tracking.json"
        self.traceback_path = path / "traceback.txt"
        self.lock_path = path / ".lock"
        self.samples = path / "samples"
        self.scores = path / "scores"
        self.checkpoints = path / "checkpoints"
        self._lease = Lease(path / ".lease")
        self._descriptions: dict[str, Metric] | None = None

    def config(self) -> dict[str, Any]:
        """The content of config.yaml. Raises LabError if it is missing or damaged."""
        try:
            raw = load_yaml(self.config_path.read_text())
        except (OSError, ValueError) as error:
            raise LabError(f"{self.config_path}: cannot be read ({one_line(error)})") from None
        if not isinstance(raw, dict):
            raise LabError(f"{self.config_path}: expected the configuration of a run")
        return raw

    def append(self, step: int, metrics: Mapping[str, float]) -> MetricRow:
        """Add a row with the current time; it is written immediately, and durable after ``flush``.

        Raises:
            LabError: a name is not registered.
        """
        self._describe(metrics)
        row = MetricRow(step, round(time.time(), 3), dict(metrics))
        line = json.dumps(row._asdict(), allow_nan=False) + "\n"
        with storing(self.metrics_path):
            self.path.mkdir(parents=True, exist_ok=True)
            with self.metrics_path.open("ab") as file:
                file.write(line.encode())
        return row

    def descriptions(self) -> dict[str, Metric]:
        """The metrics in the rows by name, without domains; empty for runs of older versions."""
        if self._descriptions is None:
            path = self.descriptions_path
            try:
                self._descriptions = dict(_described(path.read_bytes())) if path.exists() else {}
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                raise LabError(f"{path}: expected a JSON list of metrics") from None
        return self._descriptions

    def _describe(self, names: Iterable[str]) -> None:
        """Store the descriptions of metrics, so that the run can be read without a user's modules."""
        known = self.descriptions()
        described = {metric.name: metric for metric in (lookup(name, known) for name in names)}
        if new := {name: metric for name, metric in described.items() if name not in known}:
            known |= new
            write_json(self.descriptions_path, [asdict(metric) for metric in known.values()])

    def remove_partial(self) -> None:
        """Delete leftovers of killed writes; the caller holds the run's lock."""
        for path in (self.config_path, self.descriptions_path, self.metrics_path, self.result_path, self.state_path):
            remove_partial(path)

    def flush(self) -> None:
        """Fsync the rows."""
        self.path.mkdir(parents=True, exist_ok=True)
        with storing(self.metrics_path), self.metrics_path.open("ab") as file:
            os.fsync(file.fileno())

    def rows(self) -> list[MetricRow]:
        """All rows, oldest first, without an incomplete last line left by a kill.

        Raises:
            LabError: a line before the last is damaged.
        """
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_bytes().split(b"\n")
        try:  # one call for all lines takes half the time
            complete = [line for line in lines if line]
            parsed = json.loads(b"[%b]" % b",".join(complete))
            if len(parsed) == len(complete):
                return [_row(each) for each in parsed]
        except _DAMAGE:
            pass
        return [row for number, line in enumerate(lines, 1) if (row := self._parse(line, number, len(lines)))]

    def started(self) -> float | None:
        """Time of the first row in Unix seconds, None if there is none."""
        if not self.metrics_path.exists():
            return None
        with self.metrics_path.open("rb") as file:
            row = self._parse(file.readline(), 1, 1)
        return row.time if row else None

    def truncate_after(self, step: int) -> int:
        """Drop the rows after ``step`` and an incomplete last line; returns the number of remaining rows.

        Step 0 is the start of the run, which logs everything again: all rows are dropped.
        """
        remaining = [row for row in self.rows() if step > 0 and row.step <= step]
        self._replace(remaining)
        return len(remaining)

    def _replace(self, rows: list[MetricRow]) -> None:
        lines = [json.dumps(row._asdict(), allow_nan=False) + "\n" for row in rows]
        write_atomically(self.metrics_path, lambda file: file.write("".join(lines).encode()))

    def drop(self, prefix: str) -> int:
        """Drop the rows whose metrics all start with ``prefix``; returns the number of dropped rows."""
        rows = self.rows()
        remaining = [row for row in rows if not all(name.startswith(prefix) for name in row.metrics)]
        if len(remaining) < len(rows):
            self._replace(remaining)
        return len(rows) - len(remaining)

    def result(self) -> dict[str, Any] | None:
        """The content of result.json, None if it does not exist. Raises LabError if it is damaged."""
        if not self.result_path.exists():
            return None
        return check_result(read_json(self.result_path), self.result_path)

    def finished_result(self) -> dict[str, Any] | None:
        """The content of result.json if the run is finished, else None. Raises LabError if it is damaged."""
        result = self.result()
        return result if result is not None and result["status"] == "finished" else None

    def write_result(self, result: Mapping[str, Any]) -> None:
        write_json(self.result_path, dict(result))

    def tags(self) -> dict[str, str]:
        """The content of tags.json, empty if it does not exist. Raises LabError if it is damaged."""
        return check_tags(read_json(self.tags_path), self.tags_path) if self.tags_path.exists() else {}

    def update_tags(self, tags: Mapping[str, str]) -> None:
        """Add or replace tags, keeping those that another process adds at the same time."""
        with locked(self.tags_lock_path):
            write_json(self.tags_path, self.tags() | {key: str(value) for key, value in tags.items()})

    @contextmanager
    def claim(self, outlast: bool = False) -> Iterator[None]:
        """Hold the run's lock and lease for training. If the process dies, the lock is released, and the lease expires.

        On a file system without locks, the lease alone decides.

        Args:
            outlast: wait while another host holds the lease but does not renew it, in case it has died.
        Raises:
            LockedError: another process is training the run.
        """
        busy = f"run {self.run_id} is being trained by another process (lock file: {self.lock_path})"
        with self._held(CLAIM_SECONDS, busy, "being trained", outlast):
            yield

    @contextmanager
    def unused(self, timeout: float = 0.2) -> Iterator[None]:
        """Hold the run's lock and lease for evaluating or publishing it.

        Args:
            timeout: how long to wait for a process on this host, in seconds; -1: forever.
        Raises:
            LockedError: another process or host uses the run.
        """
        with self._held(timeout, "", "in use"):
            yield

    @contextmanager
    def _held(self, timeout: float, busy: str, use: str, outlast: bool = False) -> Iterator[None]:
        with locked(self.lock_path, timeout=timeout, busy=busy) as locks:
            holder = self._lease.outlasted if outlast else self._lease.holder_elsewhere
            if (host := holder(locks)) is not None:
                raise LockedError(f"run {self.run_id} is {use} on host {host} (lease: {self._lease.path})")
            with self._lease.held(locks):
                yield

    def check_claim(self) -> None:
        """Raises LockedError if another process has taken over the run from this one, which was suspended.

        Also if that cannot be determined, because the lease cannot be read for a few seconds.
        """
        try:
            self._lease.check()
        except LockedError as error:
            raise LockedError(f"run {self.run_id}: {error}; stopped") from None

    def stop_if_lost(self) -> None:
        """As ``check_claim``, but reads no file unless a renewal of the lease has failed: for every step."""
        if self._lease.seen_lost:
            self.check_claim()

    def in_use(self) -> bool:
        """Whether another process trains, evaluates or publishes the run, or another host trains it."""
        lock = is_locked(self.lock_path)
        return bool(lock) or self._lease.holder_elsewhere(locks=lock is not None) is not None

    def status(self) -> Status:
        """``interrupted`` means a checkpoint without a result, and no process that trains the run.

        Raises:
            LabError: result.json is damaged.
        """
        return self.status_with(self.result())

    def status_with(self, result: Mapping[str, Any] | None) -> Status:
        """As ``status``, for a result that has been read already."""
        if result is not None and result["status"] == "finished":
            return "finished"
        if self.in_use():
            return "running"
        if result is not None:
            status: Status = result["status"]
            return status if status in FAILED else "interrupted"
        entries = self.checkpoints.iterdir() if self.checkpoints.is_dir() else ()
        return "interrupted" if any(not entry.name.startswith(".") for entry in entries) else "planned"

    def check_finished(self) -> None:
        """Raises ConfigError with the status if the run is not finished."""
        status = self.status()
        if status == "running":
            raise ConfigError(f"run {self.run_id} is still training; wait until it is finished")
        if status != "finished":
            raise ConfigError(f"run {self.run_id} is not finished ({status}); repeat its train command to finish it")

    def _parse(self, line: bytes, number: int, lines: int) -> MetricRow | None:
        if not line:
            return None
        try:
            return _row(json.loads(line))
        except _DAMAGE:
            if number == lines:  # without a newline: the process died while writing
                return None
            raise LabError(f"{self.metrics_path}: line {number} is damaged") from None


def _row(parsed: Any) -> MetricRow:
    """Raises KeyError, TypeError or ValueError for a damaged row."""
    metrics = parsed["metrics"]
    sum(metrics.values(), 0.0)  # the fastest check that they are numbers
    return MetricRow(int(parsed["step"]), float(parsed["time"]), metrics)


@lru_cache(maxsize=64)
def _described(content: bytes) -> tuple[tuple[str, Metric], ...]:
    """The metrics in a descriptions.json by name; most runs of a report have equal ones."""
    return tuple((each["name"], check_metric(Metric(**each))) for each in json.loads(content))


def run_folders(outputs: Path) -> list[RunFolder]:
    """The runs with any records, sorted by id."""
    folders = [RunFolder(path) for path in sorted((outputs / "runs").glob("[!.]*")) if path.is_dir()]
    return [f for f in folders if f.config_path.exists() or f.metrics_path.exists() or f.result_path.exists()]


def find_run(outputs: Path, prefix: str) -> RunFolder:
    """The run whose id starts with ``prefix``.

    Raises:
        ConfigError: no run matches, with the nearest id, or several do.
    """
    runs = {folder.run_id: folder for folder in run_folders(outputs)}
    matches = [prefix] if prefix in runs else [run_id for run_id in runs if prefix and run_id.startswith(prefix)]
    if len(matches) > 1:
        raise ConfigError(f"run id prefix {prefix!r} is ambiguous: {preview(matches, 5)}; use a longer prefix")
    if not matches:
        count = counted(len(runs), "run")
        raise ConfigError(f"no run matches {prefix!r} ({count} in {outputs / 'runs'}){nearest(prefix, runs)}")
    return runs[matches[0]]
