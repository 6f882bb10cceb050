"""A store that is unavailable for a while: one warning, and every row and file arrives once."""

import logging
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from test_tracker import History, result_of, run_steps

from stargan_lab.tracking import delivery
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store, StoreError
from stargan_lab.tracking.sync import publish_missing
from stargan_lab.tracking.tracker import Tracker


class Away:
    """Opens the store, or fails while ``away``; also lets it fail in the middle of a run."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away, self.attempts = True, 0
        self._store = store
        real = Store.send_rows

        def send_rows(store: Store, mlflow_id: str, rows: object) -> None:
            if self.away:
                raise StoreError("MLflow store x cannot be used: away")
            real(store, mlflow_id, rows)  # type: ignore[arg-type]

        monkeypatch.setattr(Store, "send_rows", send_rows)

    def __call__(self) -> Store:
        self.attempts += 1
        if self.away:
            raise StoreError("MLflow store x cannot be opened: away")
        return self._store


@pytest.fixture
def away(store: Store, monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(store, monkeypatch)


def start(folder: RunFolder, connect: Away) -> Tracker:
    tracker = Tracker(folder, connect=connect, params={}, tags={"seed": "1"}, run_name="a")
    tracker.start(0)
    return tracker


def sample(folder: RunFolder, tracker: Tracker, step: int) -> None:
    folder.samples.mkdir(exist_ok=True)
    (folder.samples / f"{step}.png").write_bytes(b"png")
    tracker.artifact(folder.samples / f"{step}.png", "samples")


def assert_complete(store: Store, history: History, steps: int, samples: list[int]) -> None:
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, steps + 1)]
    run = store.find("a1b2")
    assert run is not None and run.info.status == "FINISHED" and run.data.tags["seed"] == "1"
    found = [Path(each.path).name for each in store.client.list_artifacts(run.info.run_id, "samples")]
    assert found == [f"{step}.png" for step in samples]
    assert len(store.client.search_runs([store.experiment_id])) == 1


def test_store_away_at_the_start_is_caught_up_with(
    folder: RunFolder,
    store: Store,
    away: Away,
    history: History,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "FIRST_WAIT", 0.0)
    with caplog.at_level(logging.WARNING, "stargan_lab"):
        tracker = start(folder, away)
        run_steps(tracker, 1, 4)
        tracker.commit(4)
        sample(folder, tracker, 4)
        assert len(caplog.messages) == 1 and "training continues" in caplog.messages[0]
        away.away = False
        run_steps(tracker, 5, 6)
        tracker.commit(6)
        assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 7)]
        run_steps(tracker, 7, 8)
        tracker.commit(8)
        sample(folder, tracker, 8)
        tracker.finish(result_of(eval__edit=0.5))
    assert len(caplog.messages) == 2 and "works again" in caplog.messages[1]
    assert_complete(store, history, 8, [4, 8])


def test_store_away_in_the_middle_is_tried_again_only_after_a_while(
    folder: RunFolder, store: Store, away: Away, history: History
) -> None:
    away.away = False
    tracker = start(folder, away)
    run_steps(tracker, 1, 4)
    tracker.commit(4)
    away.away = True
    for step in range(5, 20):
        run_steps(tracker, step, step)
        tracker.commit(step)
    sample(folder, tracker, 19)
    assert away.attempts == 1, "each attempt may take 20 s"
    away.away = False
    run_steps(tracker, 20, 20)
    tracker.finish(result_of(eval__edit=0.5))
    assert away.attempts == 2
    assert_complete(store, history, 20, [19])


def test_what_a_store_missed_is_sent_by_a_later_command(
    folder: RunFolder, store: Store, away: Away, history: History
) -> None:
    tracker = start(folder, away)
    run_steps(tracker, 1, 3)
    sample(folder, tracker, 3)
    tracker.finish(result_of(eval__edit=0.5))
    assert store.find("a1b2") is None
    away.away = False
    assert [publish_missing(store, [RunFolder(folder.path)]) for _ in range(2)] == [1, 0]
    assert_complete(store, history, 3, [3])


def test_database_locked_in_the_middle_delays_a_step_little_and_loses_nothing(
    folder: RunFolder, store: Store, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stargan_lab.tracking.store.BUSY_SECONDS", 0.1)
    database = folder.path.parents[1] / "mlflow.db"
    tracker = Tracker(folder, connect=lambda: store, params={}, tags={"seed": "1"}, run_name="a")
    tracker.start(0)
    run_steps(tracker, 1, 4)
    tracker.commit(4)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.perf_counter()
        run_steps(tracker, 5, 8)
        tracker.commit(8)
        assert time.perf_counter() - began < 10, "MLflow waits 20 s"
        other.rollback()
    run_steps(tracker, 9, 10)
    tracker.finish(result_of(eval__edit=0.5))
    assert_complete(store, history, 10, [])


HANGING = {"a server": "http", "a database server": "postgresql+psycopg2"}


@pytest.mark.parametrize("scheme", HANGING.values(), ids=HANGING)
def test_a_store_that_hangs_does_not_make_its_writers_queue(
    tmp_path: Path, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A socket that accepts connections but never answers; all runs of a sweep share its lock."""
    Store.open(tmp_path / "imports", f"sqlite:///{tmp_path}/imports.db")  # MLflow is imported before, as in a sweep
    lookup("loss/g_rec")  # loads the registries, which threads must not do at the same time

    def train(name: str) -> float:
        began, folder = time.perf_counter(), RunFolder(tmp_path / "runs" / name)
        folder.path.mkdir(parents=True)
        tracker = Tracker(folder, connect=lambda: Store.open(tmp_path, uri), params={}, tags={}, run_name=name)
        tracker.start(0)
        tracker.log(1, {"loss/g_rec": 0.5})
        tracker.commit(1)
        return time.perf_counter() - began

    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as silent, ThreadPoolExecutor(4) as pool:
        uri = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}" + ("/mlflow" if scheme != "http" else "")
        seconds = list(pool.map(train, "abcd"))
    assert max(seconds) < 10, seconds
    assert sum("training continues" in message for message in caplog.messages) == 4


@pytest.mark.integration
def test_locked_database_delays_nothing_and_loses_nothing(folder: RunFolder, store: Store, history: History) -> None:
    """SQLite gives up after some seconds; another program may hold its lock for longer."""
    database = folder.path.parents[1] / "mlflow.db"
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        tracker = Tracker(
            folder, connect=lambda: Store.open(database.parent), params={}, tags={"seed": "1"}, run_name="a"
        )
        tracker.start(0)
        run_steps(tracker, 1, 30)
        tracker.commit(30)
        other.rollback()
    tracker.finish(result_of(eval__edit=0.5))
    assert_complete(store, history, 30, [])
