"""MLflow stores under load and failure: eight writers on SQLite and PostgreSQL, and a server that is unavailable."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from servers import MlflowServer, postgresql

from stargan_lab.tracking import delivery
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.sync import sync
from stargan_lab.tracking.tracker import Tracker

pytestmark = pytest.mark.integration

WRITERS, ROWS = 8, 300
WRITER = """
import logging, sys, time
from pathlib import Path
import mlflow  # so that all are ready at the same moment
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.tracker import Tracker

logging.basicConfig()
outputs, uri, name, rows = Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3], int(sys.argv[4])
(outputs / f"ready-{name}").touch()
while not (outputs / "go").exists():
    time.sleep(0.002)
folder = RunFolder(outputs / "runs" / name)
connect = lambda: Store.open(outputs, uri)
tracker = Tracker(folder, connect=connect, params={"writer": name}, tags={"seed": "0"}, run_name=name)
tracker.start(0)
for step in range(1, rows + 1):
    tracker.log(step, {"loss/g_rec": step / 8, "loss/d_gp": step / 16})
    if step % 20 == 0:
        tracker.commit(step)
tracker.finish({"run_id": name, "status": "finished", "metrics": {"eval/edit": 0.5}})
"""
POINTS = """
SELECT tags.value, metrics.key, metrics.step, metrics.value, metrics.timestamp
FROM metrics JOIN tags ON tags.run_uuid = metrics.run_uuid AND tags.key = 'run_id'
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as uri:
        yield uri


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The URIs of two empty databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mlflow.db'}", f"sqlite:///{tmp_path / 'second.db'}"
    server = request.getfixturevalue("server")
    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("first", "second"):
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    return f"{server}/first", f"{server}/second"


def points(uri: str) -> list[tuple[Any, ...]]:
    """Every row of the table of metrics, with the run id instead of MLflow's."""
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(sqlalchemy.text(POINTS)))


def test_eight_writers_lose_and_double_nothing(databases: tuple[str, str], tmp_path: Path) -> None:
    first, second = databases
    names = [f"w{index}" for index in range(WRITERS)]
    command = [sys.executable, "-c", WRITER, str(tmp_path), first]
    writers = [subprocess.Popen([*command, name, str(ROWS)], stderr=subprocess.PIPE, text=True) for name in names]
    deadline = time.monotonic() + 240
    while len(list(tmp_path.glob("ready-*"))) < WRITERS:
        assert time.monotonic() < deadline and all(writer.poll() is None for writer in writers)
        time.sleep(0.05)
    began = time.perf_counter()
    (tmp_path / "go").touch()
    errors = [writer.communicate()[1] for writer in writers]
    seconds = time.perf_counter() - began
    assert [writer.returncode for writer in writers] == [0] * WRITERS, errors

    expected = {
        (n, k, s, s / d) for n in names for k, d in (("loss/g_rec", 8), ("loss/d_gp", 16)) for s in range(1, ROWS + 1)
    }
    expected |= {(name, "eval/edit", ROWS, 0.5) for name in names}
    written = points(first)
    assert len(written) == len(expected) and {row[:4] for row in written} == expected, errors
    store = Store.open(tmp_path, first)
    runs = store.search("tags.run_id LIKE '%'")
    assert sorted((run.data.tags["run_id"], run.info.status) for run in runs) == [(n, "FINISHED") for n in names]
    print(
        f"\n{WRITERS} writers: {len(written):,} points in {seconds:.1f} s, 0 lost, 0 doubled;"
        f" {sum(map(bool, errors))} writers waited for the store"
    )

    rebuilt = Store.open(tmp_path, second)
    for _ in range(2):
        assert sync(tmp_path, rebuilt).written == names
    assert points(second) == written


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("way", ["killed", "hanging"])
def test_server_that_is_away_gets_everything_later(
    mlflow_server: MlflowServer, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "FIRST_WAIT", 1.0)
    folder = RunFolder(tmp_path / "runs" / "a1b2")
    tracker = Tracker(
        folder, connect=lambda: Store.open(tmp_path, mlflow_server.uri), params={}, tags={"seed": "1"}, run_name="a"
    )

    def train(steps: range) -> None:
        for step in steps:
            tracker.log(step, {"loss/g_rec": step / 8})
        tracker.commit(steps[-1])
        folder.samples.mkdir(exist_ok=True)
        (folder.samples / f"{steps[-1]}.png").write_bytes(b"png")
        tracker.artifact(folder.samples / f"{steps[-1]}.png", "samples")

    tracker.start(0)
    train(range(1, 11))
    if way == "killed":
        mlflow_server.stop()
    else:
        mlflow_server.signal(signal.SIGSTOP)
    began = time.perf_counter()
    train(range(11, 21))
    assert time.perf_counter() - began < 60, "training waits for the server"
    if way == "killed":
        mlflow_server.start()
    else:
        mlflow_server.signal(signal.SIGCONT)
    time.sleep(2)
    train(range(21, 31))
    tracker.finish({"run_id": "a1b2", "status": "finished", "metrics": {"eval/edit": 0.5}})

    store = Store.open(tmp_path, mlflow_server.uri)
    (run,) = store.search("tags.run_id LIKE '%'")
    history = store.client.get_metric_history(run.info.run_id, "loss/g_rec")
    assert sorted((point.step, point.value) for point in history) == [(s, s / 8) for s in range(1, 31)]
    assert run.info.status == "FINISHED" and run.info.artifact_uri.startswith("mlflow-artifacts:")
    names = ["result.json", "10.png", "20.png", "30.png"]
    assert {path.name for path in mlflow_server.artifacts.rglob("*") if path.is_file()} >= set(names)
    listed = store.client.list_artifacts(run.info.run_id, "samples")
    assert [Path(each.path).name for each in listed] == names[1:]
