"""A new store is set up completely or not at all."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from stargan_lab import compose
from stargan_lab.runs.metadata import open_store
from stargan_lab.tracking.new_database import create_database
from stargan_lab.tracking.store import Store, StoreError


def half(uri: str) -> None:
    """The first of several statements, then a kill."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE first (x)")
        connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)


def complete(uri: str) -> None:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE first (x)")
        connection.execute("CREATE TABLE second (x)")
        connection.commit()


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def killed(path: Path, set_up: Callable[[str], None]) -> None:
    process = get_context("fork").Process(target=create_database, args=(path, set_up))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_only_the_process_that_creates_the_database_says_so(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose(["preset=tiny", f"paths.outputs={tmp_path}"])
    with monkeypatch.context() as patch:

        @contextmanager
        def wait(*arguments: object) -> Iterator[None]:
            """Another process creates it meanwhile."""
            shutil.copy(empty_database, tmp_path / "mlflow.db")
            yield

        patch.setattr("stargan_lab.tracking.store.locked", wait)
        assert open_store(config) is not None
    assert "creating" not in capsys.readouterr().err
    (tmp_path / "mlflow.db").unlink()
    assert open_store(config) is not None
    assert capsys.readouterr().err.count(f"creating the MLflow database {tmp_path / 'mlflow.db'}, once") == 1


def test_a_kill_leaves_no_database_and_the_next_process_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mlflow.db"
    killed(path, half)
    assert not path.exists() and len(list(path.parent.iterdir())) == 1
    create_database(path, complete)
    assert tables(path) == {"first", "second"} and list(path.parent.iterdir()) == [path]


def test_an_existing_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    complete(f"sqlite:///{path}")
    create_database(path, half)
    assert tables(path) == {"first", "second"}


def test_an_empty_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.touch()
    create_database(path, complete)
    assert tables(path) == {"first", "second"}


def test_a_half_migrated_database_is_named_with_a_way_out(tmp_path: Path, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:  # as if an upgrade of MLflow had been killed
        connection.execute("DROP TABLE metrics")
        connection.execute("UPDATE alembic_version SET version_num = 'd3e4c1b9ffff'")
        connection.commit()
    with pytest.raises(StoreError, match=r"mlflow\.db.*`stargan-lab track sync` rebuilds it") as caught:
        Store.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"mlflow\.db.*`stargan-lab track sync` rebuilds it"):
        Store.open(tmp_path)
