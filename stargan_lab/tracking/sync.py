"""Rebuild MLflow from the plain files, and add tags to finished runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stargan_lab.errors import LabError, LockedError
from stargan_lab.files import locked
from stargan_lab.tracking.publish import rebuild
from stargan_lab.tracking.run_folder import RunFolder, run_folders
from stargan_lab.tracking.store import Store, StoreError


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
            with locked(folder.lock_path, timeout=0.2):
                rebuild(store, folder)
                done.written.append(folder.run_id)
        except StoreError:
            raise
        except LockedError:
            done.training.append(folder.run_id)
        except LabError as error:
            done.damaged.append(str(error))
    return done


def add_tags(folder: RunFolder, tags: Mapping[str, str], store: Store | None) -> None:
    """Tag a run in its folder, and in the store if that has the run. Raises StoreError after the folder is tagged."""
    folder.update_tags(tags)
    if store is not None and (run := store.find(folder.run_id)) is not None:
        store.set_tags(run.info.run_id, tags)
