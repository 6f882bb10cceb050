"""Publish the plain files of one run to MLflow, each point exactly once even after a kill."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stargan_lab.errors import LabError, nearest
from stargan_lab.files import locked, read_json, write_json
from stargan_lab.tracking.metrics import rounded
from stargan_lab.tracking.run_folder import MetricRow, RunFolder
from stargan_lab.tracking.store import MLFLOW_STATUS, Store

_log = logging.getLogger(__name__)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "run_name": (lambda value: isinstance(value, str), "a text"),
    "params": (lambda value: isinstance(value, dict) and all(type(v) is str for v in value.values()), "texts by name"),
    "committed": (_is_count, "a number of rows"),
    "sent": (lambda value: isinstance(value, dict) and all(map(_is_pair, value.values())), "two numbers of rows by id"),
    "behind": (lambda value: isinstance(value, bool), "true or false"),
}
"""Key of tracking.json -> check of its value, and what is expected."""


class State:
    """The content of tracking.json: what a rebuild needs besides the records, and how much MLflow has.

    Attributes:
        run_name, params: as MLflow shows them.
        committed: number of rows of metrics.jsonl up to the last durable checkpoint.
        sent: MLflow run id -> [number of rows it certainly has, number of rows it may have].
        behind: something could not be sent, or tags were added to the files only.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        raw: Any = read_json(folder.state_path) if folder.state_path.exists() else {}
        if not isinstance(raw, dict):
            raise LabError(f"{folder.state_path}: expected a mapping")
        for key, (valid, expected) in _FIELDS.items():
            if key in raw and not valid(raw[key]):
                raise LabError(f"{folder.state_path}: {key}: expected {expected}")
        self.run_name: str = raw.get("run_name", folder.run_id)
        self.params: dict[str, str] = raw.get("params", {})
        self.committed: int = raw.get("committed", 0)
        self.sent: dict[str, list[int]] = raw.get("sent", {})
        self.behind: bool = raw.get("behind", False)

    def save(self) -> None:
        values = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        write_json(self._folder.state_path, values)

    def mark(self, behind: bool) -> None:
        """Set and save ``behind``."""
        if self.behind != behind:
            self.behind = behind
            self.save()


class Publication:
    """The MLflow run of one folder."""

    def __init__(self, store: Store, folder: RunFolder, state: State) -> None:
        self.store = store
        self.folder = folder
        self.state = state
        self.mlflow_id = ""
        self._tags: dict[str, str] = {}

    @property
    def sent(self) -> int:
        """Number of rows of metrics.jsonl that the MLflow run certainly has."""
        return self.state.sent[self.mlflow_id][0]

    def open(self, rows: Sequence[MetricRow]) -> None:
        """Open or create the MLflow run and set params, tags and config. ``rows`` are all rows in the run's files.

        Points cannot be removed from an MLflow run. If it has rows that a resume from an earlier checkpoint dropped, it
        is deleted and created again from the records.
        """
        run = self.store.find(self.folder.run_id)
        if run is not None and self.state.sent.get(run.info.run_id, [0, 0])[1] > len(rows):
            self.store.delete_run(run.info.run_id)
            del self.state.sent[run.info.run_id]
        run = self.store.open_run(self.folder.run_id, self.state.run_name, rows[0].time if rows else time.time())
        self.mlflow_id = run.info.run_id
        self.state.sent.setdefault(self.mlflow_id, [0, 0])
        self.state.save()
        if differing := self.store.set_params(run, self.state.params):
            names = ", ".join(differing)
            _log.warning("run %s: MLflow keeps a different value of %s", self.folder.run_id, names)
        self.tags()
        if self.folder.config_path.exists():
            self.store.artifact(self.mlflow_id, self.folder.config_path)

    def send(self, rows: Sequence[MetricRow]) -> None:
        """Send the rows after those already sent. The goal is saved before sending, and the result afterwards."""
        if not rows:
            return
        goal = self.sent + len(rows)
        self.state.sent[self.mlflow_id][1] = goal
        self.state.save()
        self._send(rows)
        self.state.sent[self.mlflow_id][0] = goal
        self.state.save()

    def _send(self, rows: Sequence[MetricRow]) -> None:
        """Send rows, rounded to their metrics' decimals."""
        descriptions = self.folder.descriptions()
        shown = [{name: rounded(name, value, descriptions) for name, value in row.metrics.items()} for row in rows]
        self.store.send_rows(self.mlflow_id, [r._replace(metrics=m) for r, m in zip(rows, shown, strict=True)])

    def samples(self) -> None:
        """Send every sample grid; a file that MLflow has already is replaced by an equal one."""
        for path in sorted(self.folder.samples.glob("*.png")) if self.folder.samples.is_dir() else ():
            self.store.artifact(self.mlflow_id, path, "samples")

    def tags(self) -> None:
        self._tags = self.folder.tags()
        self.store.set_tags(self.mlflow_id, self._tags | {"run_id": self.folder.run_id})

    def caught_up(self) -> None:
        """Clear ``behind``, unless tags were added since they were sent."""
        with locked(self.folder.tags_lock_path):
            self.state.behind = self.folder.tags() != self._tags
            self.state.save()

    def close(self, result: Mapping[str, Any], rows: Sequence[MetricRow]) -> None:
        """Send final metrics that are not in the rows, result.json, scores, tags and the status.

        Raises:
            LabError: values of the result have unexpected types.
        """
        try:
            end, status, metrics = float(result["finished_at"]), str(result["status"]), dict(result["metrics"])
            sum(metrics.values(), 0.0)
        except (TypeError, ValueError):
            raise LabError(f"{self.folder.result_path}: expected numbers in finished_at and metrics") from None
        if status not in MLFLOW_STATUS:
            raise LabError(f"{self.folder.result_path}: status: unknown {status!r}{nearest(status, MLFLOW_STATUS)}")
        if status == "finished":
            step = rows[-1].step if rows else 0
            last = {name: value for row in rows if row.step == step for name, value in row.metrics.items()}
            final = {name: value for name, value in metrics.items() if last.get(name) != value}
            self._send([MetricRow(step, end, final)])
        self.tags()
        self.store.artifact(self.mlflow_id, self.folder.result_path)
        for path in sorted(self.folder.scores.glob("*.json")):
            self.store.artifact(self.mlflow_id, path, "scores")
        self.store.set_status(self.mlflow_id, status, end)


def rebuild(store: Store, folder: RunFolder) -> None:
    """Make the MLflow run of ``folder`` match its files. Idempotent; the caller holds the run's lock.

    Rows after the last checkpoint of an unfinished run are skipped: a resume logs them again.
    """
    state, result, rows = State(folder), folder.result(), folder.rows()
    state.mark(behind=True)  # should this process be killed
    committed = rows if folder.finished_result() else rows[: state.committed]
    publication = Publication(store, folder, state)
    publication.open(rows)
    publication.send(committed[publication.sent :])
    publication.samples()
    if result is not None and "finished_at" in result:
        publication.close(result, rows)
    else:
        store.set_status(publication.mlflow_id, "interrupted", rows[-1].time if rows else None)
    publication.caught_up()
