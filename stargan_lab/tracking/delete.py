"""Delete runs: their folders, and the runs in MLflow."""

import shutil
from contextlib import suppress
from pathlib import Path

from stargan_lab.errors import LabError
from stargan_lab.tracking.publish import State
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import EXPERIMENT, Store
from stargan_lab.tracking.uri import usable

_DELETED = ".deleted"


def delete_folder(folder: RunFolder) -> None:
    """Delete a run's folder; it is renamed first, so that a killed process never leaves a partial run.

    Raises:
        LabError: another process is using the run, or the folder cannot be deleted.
    """
    hidden = folder.path.with_name(f".{folder.run_id}{_DELETED}")
    try:
        with folder.claim():
            shutil.rmtree(hidden, ignore_errors=True)
            folder.path.rename(hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        raise LabError(f"{folder.path}: cannot be deleted ({error.strerror})") from None


def delete_leftovers(outputs: Path) -> None:
    """Finish the deletions of processes that were killed."""
    for path in (outputs / "runs").glob(f".*{_DELETED}"):
        shutil.rmtree(path, ignore_errors=True)


class MlflowRuns:
    """Deletes the MLflow runs of run folders; opens each store once, and none for runs without MLflow."""

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._stores: dict[tuple[str | None, str], Store] = {}

    def store_of(self, folder: RunFolder) -> tuple[str | None, str] | None:
        """URI (None: the database in the outputs directory) and experiment to which rows of the run were sent.

        None if there were none, or that database no longer exists. Call before deleting the folder.
        """
        with suppress(LabError, AttributeError, TypeError):  # a damaged tracking.json: the run may be in MLflow
            if not State(folder).sent:
                return None
        uri, experiment = _tracking(folder)
        return None if usable(uri) is None and not (self._outputs / "mlflow.db").exists() else (uri, experiment)

    def delete(self, run_id: str, store_of_run: tuple[str | None, str] | None) -> str:
        """Mark the MLflow run as deleted, and say what was done. Raises StoreError."""
        if store_of_run is None:
            return "it has no MLflow run"
        if store_of_run not in self._stores:
            self._stores[store_of_run] = Store.open(self._outputs, *store_of_run)
        store = self._stores[store_of_run]
        run = store.find(run_id)
        if run is None:
            return "it has no MLflow run"
        store.delete_run(run.info.run_id)
        return "its MLflow run is marked as deleted (`mlflow gc` frees its space)"


def _tracking(folder: RunFolder) -> tuple[str | None, str]:
    """URI and experiment in a run's configuration; the defaults if it cannot be read."""
    with suppress(LabError, AttributeError, TypeError, KeyError):
        tracking = folder.config()["tracking"]
        return tracking.get("uri"), tracking.get("experiment", EXPERIMENT)
    return None, EXPERIMENT
