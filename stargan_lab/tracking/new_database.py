"""MLflow's SQLite database: created completely or not at all, and what to do with a damaged one."""

import re
from collections.abc import Callable
from pathlib import Path

_DAMAGED = re.compile(
    r"not a database|malformed|locate revision|duplicate column|no such (table|column)|already exists|out-of-date"
)


def way_out(problem: str) -> str:
    """What to do about a database that is damaged or half migrated; empty for any other problem."""
    if not _DAMAGED.search(problem):
        return ""
    return "; move the database away, and `stargan-lab track sync` rebuilds it from the runs' files"


def create_database(path: Path, set_up: Callable[[str], object]) -> None:
    """Create the database at ``path`` unless it exists; the caller holds the store's lock.

    MLflow makes its tables in dozens of migrations and cannot continue after some of them, so they are made in a
    temporary file.

    Args:
        set_up: makes the tables in the database of a URI.
    """
    if path.exists() and path.stat().st_size:
        return
    partial = path.with_name(f".{path.name}.partial")
    for leftover in partial.parent.glob(f"{partial.name}*"):  # with SQLite's journal
        leftover.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    set_up(f"sqlite:///{partial}")
    partial.replace(path)
