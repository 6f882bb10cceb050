"""Thin MLflow wrapper: opens without races, one flat run per run id, errors in one line."""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargan_lab.errors import LabError, LockedError
from stargan_lab.files import locked
from stargan_lab.tracking.answers import check_answers
from stargan_lab.tracking.new_database import adopt, create_database, way_out
from stargan_lab.tracking.run_folder import MetricRow
from stargan_lab.tracking.uri import bounded, is_masked, masked, sqlite_file, usable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "stargan-lab"
ARTIFACTS = "mlartifacts"
"""Directory of the files of a store without a URI, beside its database."""
LOCK_SECONDS = 60.0
"""How long to wait for a process that creates the store or a run."""
ANSWER_SECONDS = 20.0
"""How long to wait for the first answer of a store, and for a statement of a database server."""
TABLE_LOCK_SECONDS = 10.0
"""How long a statement waits for a lock of a database server."""
BUSY_SECONDS = 3.0
"""How long a training waits for either; eight writers wait less for each other."""
POINTS_PER_REQUEST = 500  # log_batch takes up to 1000 entities
MLFLOW_STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "diverged": "FAILED",
    "interrupted": "KILLED",
}


_longest_wait: ContextVar[float] = ContextVar("longest_wait", default=inf)


@contextmanager
def in_training() -> Iterator[None]:
    """Context in which nothing waits long for the store's lock or its first answer."""
    token = _longest_wait.set(BUSY_SECONDS)
    try:
        yield
    finally:
        _longest_wait.reset(token)


class StoreError(LabError):
    """MLflow could not be read or written."""


_NOT_A_REASON = "(raised as a result of Query-invoked autoflush"
"""How SQLAlchemy starts the message of an error that a search has caused."""

_FORBIDDEN = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow forbids in metric names; class directories can have any name."""


class Store:
    """One experiment of an MLflow tracking store. Open it with ``Store.open``."""

    def __init__(self, client: "MlflowClient", uri: str, experiment_id: str, lock: Path) -> None:
        self.client = client
        self.uri = uri
        self.experiment_id = experiment_id
        self._lock = lock

    @classmethod
    def open(
        cls,
        outputs: Path,
        uri: str | None = None,
        experiment: str = EXPERIMENT,
        creating: Callable[[], None] = lambda: None,
    ) -> "Store":
        """Open or create the store; ``uri`` None is MLFLOW_TRACKING_URI, or else ``<outputs>/mlflow.db`` with files in
        ``<outputs>/mlartifacts``.

        MLflow's setup of a new database is not safe for concurrent processes, so it runs under a lock; a store that
        has been set up is opened without. Imports mlflow, which takes about two seconds.

        Args:
            creating: called before a new database is created, which takes seconds.
        Raises:
            StoreError: the store cannot be opened.
        """
        outputs, uri = outputs.resolve(), usable(uri)
        if uri is None and (
            found := re.search(r"%[0-9A-Fa-f]{2}|\?", str(outputs))
        ):  # it would write to another directory
            raise StoreError(f"{outputs}: MLflow cannot use a directory with {found[0]!r} in its path; rename it")
        if uri is not None and is_masked(uri):
            raise StoreError(
                f"MLflow store {uri}: its password is not recorded; set MLFLOW_TRACKING_URI to the whole URI"
            )
        uri = uri or f"sqlite:///{default_database(outputs)}"
        own = uri == f"sqlite:///{default_database(outputs)}"
        lock, database = _lock_path(outputs, uri), sqlite_file(uri)
        with _one_line(uri, "cannot be opened"):
            check_answers(uri, _patience(ANSWER_SECONDS))
            ready = bool(database and database.exists() and database.stat().st_size) or uri.startswith("http")
            if ready and (known := (client := _client(uri)).get_experiment_by_name(experiment)) is not None:
                moved = own and known.artifact_location != str(outputs / ARTIFACTS)
                if known.lifecycle_stage == "active" and not moved:
                    return cls(client, uri, known.experiment_id, lock)
            with locked(lock, _patience(LOCK_SECONDS) if ready else LOCK_SECONDS):  # the setup takes seconds
                if own:
                    adopt(default_database(outputs), outputs / ARTIFACTS)
                if database is not None:
                    create_database(database, _client, creating)
                client = _client(uri)
                return cls(client, uri, _experiment_id(client, uri, experiment, outputs), lock)

    def check_answers(self) -> None:
        """Raises StoreError if the store does not answer in time; in training, MLflow itself would wait too long."""
        with _one_line(self.uri):
            check_answers(self.uri, _patience(ANSWER_SECONDS))

    def find(self, run_id: str) -> "Run | None":
        """The run tagged with ``run_id``; None if there is none or it was deleted in the UI."""
        return next(iter(self.search(f"tags.run_id = '{run_id}'")), None)

    def open_run(self, run_id: str, run_name: str, start: float) -> "Run":
        """The run of ``run_id``, created if it does not exist. ``start`` is in Unix seconds."""
        return self.open_tagged({"run_id": run_id}, run_name, start)

    def open_tagged(self, tags: Mapping[str, str], run_name: str, start: float | None = None) -> "Run":
        """The run with these tags, created if it does not exist. ``start`` is in Unix seconds, None for now."""
        with _one_line(self.uri), locked(self._lock, _patience(LOCK_SECONDS)):
            condition = " AND ".join(f"tags.`{key}` = {_literal(value)}" for key, value in tags.items())
            for run in self.search(condition):
                return run
            milliseconds = round((time.time() if start is None else start) * 1000)
            return self.client.create_run(self.experiment_id, milliseconds, dict(tags), run_name)

    def search(self, condition: str) -> "list[Run]":
        """The runs that match a filter of MLflow, newest first, without deleted ones."""
        with _one_line(self.uri):
            runs: list[Run] = []
            token = None
            while True:
                page = self.client.search_runs([self.experiment_id], condition, max_results=1000, page_token=token)
                runs += page
                if not (token := page.token):
                    return runs

    def delete_run(self, mlflow_id: str) -> None:
        with _one_line(self.uri):
            self.client.delete_run(mlflow_id)

    def send_rows(self, mlflow_id: str, rows: Sequence[MetricRow]) -> None:
        """Send rows with their original times, so that sending them twice changes nothing."""
        from mlflow.entities import Metric

        points = [
            Metric(_FORBIDDEN.sub("_", name), value, round(row.time * 1000), row.step)
            for row in rows
            for name, value in row.metrics.items()
        ]
        with _one_line(self.uri):
            for first in range(0, len(points), POINTS_PER_REQUEST):
                self.client.log_batch(mlflow_id, metrics=points[first : first + POINTS_PER_REQUEST])

    def set_params(self, run: "Run", params: Mapping[str, str]) -> list[str]:
        """Log params that the run lacks; returns the names of those that have another value, which it keeps."""
        from mlflow.entities import Param

        existing = run.data.params
        new = [Param(key, str(value)) for key, value in params.items() if key not in existing]
        if new:
            with _one_line(self.uri):
                self.client.log_batch(run.info.run_id, params=new)
        return [key for key, value in params.items() if key in existing and existing[key] != str(value)]

    def set_tags(self, mlflow_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        with _one_line(self.uri):
            self.client.log_batch(mlflow_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def set_experiment_tag(self, key: str, value: str) -> None:
        with _one_line(self.uri):
            self.client.set_experiment_tag(self.experiment_id, key, value)

    def artifact(self, mlflow_id: str, path: Path, folder: str | None = None) -> None:
        with _one_line(self.uri):
            self.client.log_artifact(mlflow_id, str(path), folder)

    def table(
        self, mlflow_id: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], name: str = "verdicts.json"
    ) -> None:
        """Replace an artifact that the UI shows as a table."""
        content = {"columns": list(columns), "data": [list(row) for row in rows]}
        with _one_line(self.uri):
            self.client.log_dict(mlflow_id, content, name)
            listed = json.dumps([{"path": name, "type": "table"}])
            self.client.set_tag(mlflow_id, "mlflow.loggedArtifacts", listed)

    def set_status(self, mlflow_id: str, status: str, end: float | None = None) -> None:
        """``status`` as in result.json, or ``running``; ``end`` is in Unix seconds."""
        with _one_line(self.uri):
            if status == "running":
                self.client.update_run(mlflow_id, status="RUNNING")
            else:
                at = round((time.time() if end is None else end) * 1000)
                self.client.set_terminated(mlflow_id, MLFLOW_STATUS[status], at)


def _patience(usual: float) -> float:
    return min(usual, _longest_wait.get())


def _literal(text: str) -> str:
    """A string in MLflow's filters, which cannot escape quotes. Raises StoreError if it has both kinds of them."""
    if "'" in text and '"' in text:
        raise StoreError(f"{text}: MLflow cannot find a name with both kinds of quotes")
    return f'"{text}"' if "'" in text else f"'{text}'"


def default_database(outputs: Path) -> Path:
    """The SQLite database of a store without a URI."""
    return outputs / "mlflow.db"


def _client(uri: str) -> "MlflowClient":
    """Import mlflow silently and without telemetry; fail within seconds if a server does not answer."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])  # in case it was imported before
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs a traceback of what it raises
    logging.getLogger("urllib3.connectionpool").addFilter(lambda record: record.levelno >= logging.ERROR)
    return MlflowClient(tracking_uri=bounded(uri, round(ANSWER_SECONDS), round(TABLE_LOCK_SECONDS)))


def _experiment_id(client: "MlflowClient", uri: str, name: str, outputs: Path) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # without a location, a local store would write artifacts to ./mlruns
        location = None if uri.startswith(("http:", "https:", "databricks")) else str(outputs / ARTIFACTS)
        tags: dict[str, Any] = {"mlflow.experimentKind": "custom_model_development"}  # opens runs, not traces
        return client.create_experiment(name, artifact_location=location, tags=tags)
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"MLflow experiment {name!r} was deleted; restore it or set tracking.experiment to another name"
        )
    return experiment.experiment_id


def _lock_path(outputs: Path, uri: str) -> Path:
    """Next to an SQLite database, so that all its users share the lock; otherwise in the outputs directory."""
    if (path := sqlite_file(uri)) is not None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.with_name(f"{path.name}.lock")
    return outputs / "mlflow.lock"


@contextmanager
def _one_line(uri: str, problem: str = "cannot be used") -> Iterator[None]:
    """Turn any error of MLflow, its database or its server into a StoreError."""
    try:
        yield
    except LockedError as error:  # by a process that waits for a slow store
        raise StoreError(masked(f"MLflow store {uri} {problem}: {error}")) from None
    except LabError:
        raise
    except Exception as error:
        lines = (line for line in str(error).splitlines() if line.strip() and not line.startswith(_NOT_A_REASON))
        reason = next(lines, type(error).__name__)
        text = f"MLflow store {uri} {problem}: {reason.strip()[:300]}{way_out(reason)}"
        raise StoreError(masked(text)) from error
