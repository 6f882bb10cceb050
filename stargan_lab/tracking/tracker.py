"""What the training loop talks to: log, commit after a checkpoint, finish."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stargan_lab.errors import LabError
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.publish import Publication, describe
from stargan_lab.tracking.run_folder import MetricRow, RunFolder
from stargan_lab.tracking.store import Store, StoreError

_log = logging.getLogger(__name__)


class Tracker:
    """Records one run in its folder and, where there is a store, in MLflow.

    MLflow gets a row only once a durable checkpoint covers it, so that what a killed run logs again after its resume is
    never there twice. A store that fails midway costs one warning and MLflow's part; the files go on.

    Args:
        params: the factors of the run, e.g. ``{"discriminator.norm": "instance"}``.
        tags: seed, protocol, data, code, git_commit, ``ablation.<ablation>``.
        run_name: as MLflow shows it; the run id if empty.
    """

    def __init__(
        self,
        folder: RunFolder,
        run_id: str,
        *,
        store: Store | None,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        run_name: str = "",
    ) -> None:
        if folder.run_id != run_id:
            raise ValueError(f"run {run_id} cannot be recorded in the folder {folder.path}")
        self._folder = folder
        self._store = store
        self._state = describe(folder, run_name or run_id, params)
        self._tags = {key: str(value) for key, value in tags.items()} | {"run_id": run_id}
        self._publication: Publication | None = None
        self._pending: deque[MetricRow] = deque()  # logged, not covered by a checkpoint yet
        self._known: dict[str, int] = {}  # metric -> step, for what the last checkpoint's step has logged already

    def start(self, step: int) -> None:
        """Begin, or go on from the checkpoint at ``step`` (0: from the start).

        Raises:
            LabError: the run is finished already, or the store cannot be used.
        """
        result = self._folder.result()
        if result is not None and result["status"] == "finished":
            raise LabError(f"run {self._folder.run_id} is finished already")
        self._folder.result_path.unlink(missing_ok=True)
        self._state.committed = self._folder.truncate_after(step)
        self._state.save()
        self._folder.update_tags(self._tags)
        rows = self._folder.rows()
        self._known = {name: row.step for row in rows if row.step == step for name in row.metrics}
        if self._store is not None:
            publication = Publication(self._store, self._folder, self._state)
            publication.open(rows)
            self._store.set_status(publication.mlflow_id, "running")
            publication.send(rows[publication.sent :])
            self._publication = publication

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of ``step``. What a resumed run has from before, at the step it resumed from, is kept instead.

        Raises:
            LabError: a name is not registered, or a value is not finite.
        """
        values = {}
        for name, value in metrics.items():
            lookup(name, self._folder.descriptions())
            if not math.isfinite(value):
                raise LabError(f"metric {name!r} is {value} at step {step}")
            if self._known.get(name) != step:
                values[name] = float(value)
        if values:
            self._pending.append(self._folder.append(step, values))

    def flush(self) -> None:
        """Make what was logged durable. Call before a checkpoint is written, which must not outlive its rows."""
        self._folder.flush()

    def commit(self, step: int) -> None:
        """Call right after the checkpoint of ``step`` is durable: sends the rows up to it."""
        self._folder.flush()
        covered = []
        while self._pending and self._pending[0].step <= step:
            covered.append(self._pending.popleft())
        self._state.committed += len(covered)
        self._state.save()
        self._publish(lambda publication: publication.send(covered))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Show a file, e.g. a grid of samples, in MLflow under ``folder``."""
        self._publish(lambda publication: publication.store.artifact(publication.mlflow_id, path, folder))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, then close the MLflow run with the final metrics and the status.

        A failed or interrupted run keeps its rows after the last checkpoint in the file only: a resume logs them again.
        The time is put into the result as ``finished_at``, in Unix seconds.
        """
        for name in result["metrics"]:
            lookup(name, self._folder.descriptions())
        full = {"finished_at": round(time.time(), 3)} | dict(result)
        if full["status"] == "finished" and self._pending:
            self.commit(self._pending[-1].step)
        self._folder.flush()
        self._folder.write_result(full)
        self._publish(lambda publication: publication.close(full, self._folder.rows()))

    def _publish(self, send: Callable[[Publication], None]) -> None:
        if self._publication is None:
            return
        try:
            send(self._publication)
        except StoreError as error:
            self._publication = None
            _log.warning("%s; going on without it, `stargan-lab track sync` repairs it", error)
