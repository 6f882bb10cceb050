"""Creation of MLflow's SQLite database, which a kill never leaves half-made."""

from collections.abc import Callable
from pathlib import Path


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
