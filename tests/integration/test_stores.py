"""MLflow stores under load and failure: eight writers on SQLite and PostgreSQL, and a server that is unavailable."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from servers import MlflowServer, postgresql

from stargan_lab.tracking import delivery
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.sync import publish_missing, sync
from stargan_lab.tracking.tracker import Tracker

pytestmark = pytest.mark.integration

WRITERS, ROWS = 8, 300
TRAINING_SECONDS, STEP_SECONDS = 75.0, 0.25
OUTAGE_SECONDS, LOCK_SECONDS = 60, 25
LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
time.sleep(float(sys.argv[2]))
connection.rollback()
"""
WRITER = """
import json, logging, sys, time
from pathlib import Path
import mlflow  # so that all are ready at the same moment
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.tracker import Tracker

logging.basicConfig()
outputs, uri, name, rows = Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3], int(sys.argv[4])
step_seconds = float(sys.argv[5])
(outputs / f"ready-{name}").touch()
while not (outputs / "go").exists():
    time.sleep(0.002)
folder = RunFolder(outputs / "runs" / name)
connect = lambda: Store.open(outputs, uri)
tracker = Tracker(folder, connect=connect, params={"writer": name}, tags={"seed": "0"}, run_name=name)
tracker.start(0)
(outputs / f"training-{name}").touch()
tracking = longest = 0.0
for step in range(1, rows + 1):
    time.sleep(step_seconds)
    began = time.perf_counter()
    tracker.log(step, {"loss/g_rec": step / 8, "loss/d_gp": step / 16})
    if step % 20 == 0:
        tracker.commit(step)
    seconds = time.perf_counter() - began
    tracking, longest = tracking + seconds, max(longest, seconds)
(outputs / f"delay-{name}.json").write_text(json.dumps({"total": tracking, "longest": longest}))
tracker.finish({"run_id": name, "status": "finished", "metrics": {"eval/edit": 0.5}})
"""
Writer = subprocess.Popen[str]
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
    return new_database(server, "first"), new_database(server, "second")


def new_database(server: str, name: str) -> str:
    """The URI of a new database of a PostgreSQL server."""
    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    return f"{server}/{name}"


def points(uri: str) -> list[tuple[Any, ...]]:
    """Every row of the table of metrics, with the run id instead of MLflow's."""
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(sqlalchemy.text(POINTS)))


def start_writers(folder: Path, stores: Mapping[str, str], rows: int, step_seconds: float = 0.0) -> list[Writer]:
    """One process per entry of ``stores``, writer → URI; returns when all wait for the file ``go``."""
    command, options = [sys.executable, "-c", WRITER, str(folder)], [str(rows), str(step_seconds)]
    writers = [
        subprocess.Popen([*command, uri, name, *options], stderr=subprocess.PIPE, text=True)
        for name, uri in stores.items()
    ]
    deadline = time.monotonic() + 240
    while len(list(folder.glob("ready-*"))) < len(stores):
        assert time.monotonic() < deadline and all(writer.poll() is None for writer in writers)
        time.sleep(0.05)
    return writers


def finish_writers(writers: Sequence[Writer]) -> list[str]:
    """What each printed; all must succeed."""
    errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * len(writers), errors
    return errors


def check_points(uri: str, names: Sequence[str], rows: int) -> list[tuple[Any, ...]]:
    """The points of a database; each of the writers' must be there exactly once."""
    expected = {
        (n, k, s, s / d) for n in names for k, d in (("loss/g_rec", 8), ("loss/d_gp", 16)) for s in range(1, rows + 1)
    }
    expected |= {(name, "eval/edit", rows, 0.5) for name in names}
    written = points(uri)
    found = {row[:4] for row in written}
    lost, doubled = expected - found, len(written) - len(found)
    assert not lost and not doubled and found == expected, f"{len(lost)} lost, {doubled} doubled"
    return written


def test_eight_writers_lose_and_double_nothing(
    databases: tuple[str, str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    first, second = databases
    names = [f"w{index}" for index in range(WRITERS)]
    writers = start_writers(tmp_path, dict.fromkeys(names, first), ROWS)
    began = time.perf_counter()
    (tmp_path / "go").touch()
    errors = finish_writers(writers)
    seconds = time.perf_counter() - began
    written = check_points(first, names, ROWS)
    store = Store.open(tmp_path, first)
    runs = store.search("tags.run_id LIKE '%'")
    assert sorted((run.data.tags["run_id"], run.info.status) for run in runs) == [(n, "FINISHED") for n in names]
    record_property(
        "figure",
        f"{WRITERS} writers on {first.split(':')[0].split('+')[0]}: {WRITERS * ROWS:,} rows, {len(written):,} points"
        f" in {seconds:.1f} s, 0 lost, 0 doubled; {sum(map(bool, errors))} writers had to try again",
    )

    rebuilt = Store.open(tmp_path, second)
    for _ in range(2):
        assert sync(tmp_path, rebuilt).written == names
    assert points(second) == written


def test_a_locked_table_delays_a_step_little_and_loses_nothing(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("stargan_lab.tracking.store.TABLE_LOCK_SECONDS", 1.0)
    uri, folder = new_database(server, "locked"), RunFolder(tmp_path / "runs" / "w0")
    tracker = Tracker(
        folder, connect=lambda: Store.open(tmp_path, uri), params={"writer": "w0"}, tags={"seed": "0"}, run_name="w0"
    )

    def train(steps: range) -> None:
        for step in steps:
            tracker.log(step, {"loss/g_rec": step / 8, "loss/d_gp": step / 16})
        tracker.commit(steps[-1])

    tracker.start(0)
    train(range(1, 5))
    with sqlalchemy.create_engine(uri).connect() as other:
        other.execute(sqlalchemy.text("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE"))
        release = threading.Timer(15, other.rollback)  # so that a training that waits for it also ends
        release.start()
        began = time.perf_counter()
        train(range(5, 9))
        assert time.perf_counter() - began < 10
        release.cancel()
        other.rollback()
    assert [message for message in caplog.messages if "lock timeout" in message and "training continues" in message]
    assert "Traceback" not in capfd.readouterr().err
    tracker.finish({"run_id": "w0", "status": "finished", "metrics": {"eval/edit": 0.5}})
    check_points(uri, ["w0"], 8)


@pytest.fixture
def mlflow_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MlflowServer]:
    """On SQLite, or on PostgreSQL if that is its parameter."""
    on_postgresql = getattr(request, "param", "sqlite") == "postgresql"
    database = new_database(request.getfixturevalue("server"), "behind_mlflow") if on_postgresql else None
    server = MlflowServer(tmp_path, database)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.slow
def test_long_outages_delay_little_and_lose_and_double_nothing(
    mlflow_server: MlflowServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A server that is away for a minute and, at the same time, a database that another program locks for 25 s."""
    database, rows = tmp_path / "mlflow.db", round(TRAINING_SECONDS / STEP_SECONDS)
    Store.open(tmp_path, f"sqlite:///{database}")
    stores = {"s0": mlflow_server.uri, "s1": mlflow_server.uri, "s2": mlflow_server.uri}
    stores |= {"d0": f"sqlite:///{database}", "d1": f"sqlite:///{database}"}
    writers = start_writers(tmp_path, stores, rows, STEP_SECONDS)
    (tmp_path / "go").touch()
    while len(list(tmp_path.glob("training-*"))) < len(stores):
        assert all(writer.poll() is None for writer in writers)
        time.sleep(0.1)
    time.sleep(5)
    mlflow_server.stop()
    stopped = time.monotonic()
    locker = subprocess.Popen([sys.executable, "-c", LOCKER, str(database), str(LOCK_SECONDS)])
    assert locker.wait() == 0
    time.sleep(max(0.0, OUTAGE_SECONDS - (time.monotonic() - stopped)))
    assert all(writer.poll() is None for writer in writers), "the outage is in the middle of the training"
    mlflow_server.start()
    errors = finish_writers(writers)

    noticed = {name: "training continues" in error for name, error in zip(stores, errors, strict=True)}
    assert all(noticed.values()), (noticed, errors)
    late = 0  # runs whose last attempt failed on a busy machine; a later command sends the rest
    for uri, kind in ((mlflow_server.uri, "s"), (f"sqlite:///{database}", "d")):
        folders = [RunFolder(tmp_path / "runs" / name) for name in stores if name[0] == kind]
        late += publish_missing(Store.open(tmp_path, uri), folders)
    check_points(f"sqlite:///{tmp_path / 'server.db'}", ["s0", "s1", "s2"], rows)
    check_points(f"sqlite:///{database}", ["d0", "d1"], rows)
    delays = {name: json.loads((tmp_path / f"delay-{name}.json").read_text()) for name in stores}
    longest = {kind: max(d["longest"] for name, d in delays.items() if name[0] == kind) for kind in "ds"}
    record_property(
        "figure",
        f"database locked for {LOCK_SECONDS} s: 2 writers, {2 * rows:,} rows, 0 lost, 0 doubled;"
        f" training waited {longest['d']:.1f} s; server away for {OUTAGE_SECONDS} s: 3 writers, {3 * rows:,} rows,"
        f" 0 lost, 0 doubled; training waited {longest['s']:.1f} s; {late} runs completed by a later command",
    )
    assert longest["d"] < LOCK_SECONDS and longest["s"] < OUTAGE_SECONDS / 2, delays  # none waits for the end


@pytest.mark.parametrize(
    ("mlflow_server", "way"),
    [("sqlite", "killed"), ("sqlite", "hanging"), ("postgresql", "killed")],
    indirect=["mlflow_server"],
)
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
