"""Rebuild MLflow from the plain files, and tag runs that are done."""

from dataclasses import dataclass, field
from pathlib import Path

from stargan_lab.errors import LabError, unknown
from stargan_lab.files import locked
from stargan_lab.tracking.metrics import Metric
from stargan_lab.tracking.publish import rebuild
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store, StoreError


@dataclass
class Synced:
    """Run ids by outcome; ``damaged`` holds one line for each run whose files cannot be read."""

    written: list[str] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def run_folders(outputs: Path) -> list[RunFolder]:
    """The runs that have left records, sorted by id."""
    folders = [RunFolder(path) for path in sorted((outputs / "runs").glob("*")) if path.is_dir()]
    return [f for f in folders if f.config_path.exists() or f.metrics_path.exists() or f.result_path.exists()]


def descriptions(outputs: Path) -> dict[str, Metric]:
    """The metrics that any run has logged, by name."""
    return {name: metric for folder in run_folders(outputs) for name, metric in folder.descriptions().items()}


def sync(outputs: Path, store: Store) -> Synced:
    """Bring MLflow to what ``outputs/runs/*`` say. Runs in training are left to their own process.

    Raises:
        StoreError: the store fails.
    """
    done = Synced()
    for folder in run_folders(outputs):
        busy = f"{folder.run_id} is being trained"
        try:
            with locked(folder.lock_path, timeout=0.2, busy=busy):
                rebuild(store, folder)
                done.written.append(folder.run_id)
        except StoreError:
            raise
        except LabError as error:
            if str(error) == busy:
                done.training.append(folder.run_id)
            else:
                done.damaged.append(str(error))
    return done


def add_tag(outputs: Path, run_id: str, key: str, value: str, store: Store | None) -> None:
    """Tag a run, finished or not, in its file and in MLflow where it is there already.

    Raises:
        LabError: there is no such run, or the store fails (the file has the tag then).
    """
    folder = RunFolder(outputs / "runs" / run_id)
    if not folder.path.is_dir():
        raise LabError(unknown("run", run_id, [f.run_id for f in run_folders(outputs)]))
    folder.update_tags({key: value})
    if store is not None and (run := store.find(run_id)) is not None:
        store.set_tags(run.info.run_id, {key: value})
