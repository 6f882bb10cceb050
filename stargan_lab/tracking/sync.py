"""Rebuild MLflow from the plain files, and add tags to finished runs."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stargan_lab.errors import LabError, LockedError
from stargan_lab.files import locked
from stargan_lab.tracking.publish import State, rebuild
from stargan_lab.tracking.run_folder import RunFolder, run_folders
from stargan_lab.tracking.store import MLFLOW_STATUS, Store, StoreError

_log = logging.getLogger(__name__)


@dataclass
class Synced:
    """Run ids by outcome; ``damaged`` has one line for each run whose files cannot be read."""

    written: list[str] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def sync(outputs: Path, store: Store) -> Synced:
    """Make MLflow match ``outputs/runs/*``, except for runs that another process is training.

    Raises:
        StoreError: the store fails.
    """
    done = Synced()
    for folder in run_folders(outputs):
        try:
            with folder.unused():
                rebuild(store, folder)
                done.written.append(folder.run_id)
        except StoreError:
            raise
        except LockedError:
            done.training.append(folder.run_id)
        except LabError as error:
            done.damaged.append(str(error))
    return done


def add_tags(folder: RunFolder, tags: Mapping[str, str]) -> None:
    """Tag a run in its folder; ``publish_missing`` sends the tags to MLflow."""
    folder.update_tags(tags)
    with locked(folder.tags_lock_path):  # a process that publishes the run compares the tags before it clears the mark
        State(folder).mark(behind=True)


def publish_missing(store: Store, folders: Iterable[RunFolder]) -> int:
    """Write the runs that the store lacks, e.g. copied ones, or that are behind; returns their number.

    Also runs that MLflow shows as running although no process holds them: they were killed. Runs that another process
    trains, and damaged ones, are left out.

    Raises:
        StoreError: the store fails.
    """
    known = {run.data.tags["run_id"]: run.info.status for run in store.search("tags.run_id LIKE '%'")}
    written = 0
    for folder in folders:
        try:
            if _is_missing(folder, known.get(folder.run_id)):
                with suppress(LockedError), folder.unused():
                    rebuild(store, folder)
                    written += 1
        except StoreError:
            raise
        except LabError as error:
            _log.warning("%s; run %s is not sent to MLflow", error, folder.run_id)
    return written


def _is_missing(folder: RunFolder, status: str | None) -> bool:
    """Whether a run has something to send.

    Args:
        status: in MLflow, None if MLflow lacks the run.
    """
    if not (folder.result_path.exists() or folder.state_path.exists()):  # nothing is recorded yet
        return False
    return status in (None, MLFLOW_STATUS["running"]) or State(folder).behind
