"""MLflow's SQLite database: created completely or not at all, adopted if moved, and a way out if damaged."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

_DAMAGED = re.compile(
    r"not a database|malformed|locate revision|duplicate column|no such (table|column)|already exists|out-of-date"
)


def way_out(problem: str) -> str:
    """What to do about a database that is damaged or half migrated; empty for any other problem."""
    if not _DAMAGED.search(problem):
        return ""
    return "; move the database away, and `stargan-lab track sync` rebuilds it from the runs' files"


def create_database(path: Path, set_up: Callable[[str], object], notify: Callable[[], None] = lambda: None) -> None:
    """Create the database at ``path`` unless it exists; the caller holds the store's lock.

    MLflow makes its tables in dozens of migrations and cannot continue after some of them, so they are made in a
    temporary file.

    Args:
        set_up: makes the tables in the database of a URI.
        notify: called before; it takes seconds.
    """
    if path.exists() and path.stat().st_size:
        return
    notify()
    partial = path.with_name(f".{path.name}.partial")
    for leftover in partial.parent.glob(f"{partial.name}*"):  # with SQLite's journal
        leftover.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    set_up(f"sqlite:///{partial}")
    partial.replace(path)


def adopt(database: Path, artifacts: Path) -> None:
    """Let a database that was copied or moved with its directory use the artifacts beside it.

    MLflow stores absolute paths, so it would write to the directory that the copy was made from.
    """
    if not database.exists():
        return
    with closing(sqlite3.connect(database, timeout=3)) as connection, connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return
        query = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE '%/' || ?"
        for (location,) in connection.execute(query, (artifacts.name,)).fetchall():
            if location != str(artifacts):
                moved = (str(artifacts), len(location) + 1, len(location) + 1, f"{location}/")
                of_runs = "artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?"
                connection.execute(f"UPDATE runs SET {of_runs}", moved)
                of_experiments = "artifact_location = ? WHERE artifact_location = ?"
                connection.execute(f"UPDATE experiments SET {of_experiments}", (str(artifacts), location))
