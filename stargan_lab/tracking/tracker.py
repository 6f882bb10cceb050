"""Record a run during training: log, commit after a checkpoint, finish."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stargan_lab.errors import LabError
from stargan_lab.tracking.delivery import Delivery
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.publish import Publication, State
from stargan_lab.tracking.run_folder import MetricRow, RunFolder
from stargan_lab.tracking.store import Store


class Tracker:
    """Records one run in its folder and, if there is a store, in MLflow.

    Rows are sent to MLflow after the next durable checkpoint, so that rows that a resumed run logs again are not
    duplicated. A store that fails never stops the run, see ``Delivery``.

    Args:
        connect: opens the store and raises StoreError; None: only the files are written.
        params: factors of the run, e.g. ``{"discriminator.norm": "instance"}``.
        tags: seed, protocol, data, code, git_commit, ``ablation.<ablation>``.
        run_name: shown in MLflow.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        connect: Callable[[], Store] | None,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        run_name: str,
    ) -> None:
        self._folder = folder
        self._state = State(folder)
        self._state.run_name, self._state.params = run_name, {key: str(value) for key, value in params.items()}
        self._state.save()
        self._tags = {key: str(value) for key, value in tags.items()} | {"run_id": folder.run_id}
        self._delivery = Delivery(folder, self._state, connect) if connect else None
        self._pending: deque[MetricRow] = deque()  # logged since the last checkpoint
        self._resumed_from = 0
        self._logged: set[str] = set()  # metrics logged at that step before the resume

    def start(self, step: int) -> None:
        """Start at step 0, or resume from the checkpoint at ``step``.

        Raises:
            LabError: the run is finished.
        """
        if self._folder.finished_result():
            raise LabError(f"already finished: run {self._folder.run_id}")
        self._folder.result_path.unlink(missing_ok=True)
        self._state.committed = self._folder.truncate_after(step)
        self._state.save()
        self._folder.update_tags(self._tags)
        rows = self._folder.rows()
        self._logged = {name for row in rows if row.step == step for name in row.metrics}
        self._resumed_from = step
        if self._delivery is None:
            self._state.mark(behind=True)  # MLflow may have the run from before a resume
        self._publish(lambda publication: None)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of ``step``, except those that were logged at the same step before a resume.

        Raises:
            LabError: a name is not registered, or a value is not finite.
        """
        values = {}
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise LabError(f"metric {name!r} is {value} at step {step}")
            if step != self._resumed_from or name not in self._logged:
                values[name] = float(value)
        if values:
            self._pending.append(self._folder.append(step, values))

    def flush(self) -> None:
        """Make logged rows durable. Call before writing a checkpoint, which must not be newer than its rows."""
        self._folder.flush()

    def commit(self, step: int) -> None:
        """Send the rows up to ``step``. Call immediately after its checkpoint is durable."""
        self._folder.flush()
        committed = []
        while self._pending and self._pending[0].step <= step:
            committed.append(self._pending.popleft())
        self._state.committed += len(committed)
        self._state.save()

        def send(publication: Publication) -> None:
            missing = self._state.committed - publication.sent  # 0 after catching up with a store that was unavailable
            publication.send(committed[len(committed) - missing :])

        self._publish(send)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Add a file, such as a sample grid, to MLflow's artifacts under ``folder``."""
        self._publish(lambda publication: publication.store.artifact(publication.mlflow_id, path, folder))

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, then close the MLflow run with the final metrics and the status.

        MLflow does not get the rows after the last checkpoint of a failed or interrupted run: a resume logs them
        again. Adds the time to the result as ``finished_at``, in Unix seconds.
        """
        for name in result["metrics"]:
            lookup(name, self._folder.descriptions())
        full = {"finished_at": round(time.time(), 3)} | dict(result)
        if full["status"] == "finished" and self._pending:
            self.commit(self._pending[-1].step)
        self._folder.flush()
        self._folder.write_result(full)
        self._publish(lambda publication: publication.close(full, self._folder.rows()), last=True)

    def _publish(self, action: Callable[[Publication], None], last: bool = False) -> None:
        if self._delivery is not None:
            self._delivery.send(action, last)
