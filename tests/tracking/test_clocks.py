"""Clocks that jump: rows, points and durations do not depend on the time of day."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from stargan_lab.files import locked
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.sync import sync
from stargan_lab.tracking.tracker import Tracker

History = Callable[[Store, str, str], list[tuple[int, float]]]
DAY = 86_400.0
JUMPS = {"backwards by a day per call": -DAY, "forwards by a year per call": 365 * DAY, "standing still": 0.0}


@pytest.fixture(params=JUMPS)
def jumping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ticks, start = count(), 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: start + next(ticks) * JUMPS[request.param])
    yield


@pytest.mark.usefixtures("jumping")
def test_rows_and_points_are_in_the_order_of_steps(folder: RunFolder, store: Store, history: History) -> None:
    tracker = Tracker(folder, connect=lambda: store, params={}, tags={}, run_name="run")
    tracker.start(0)
    for step in range(1, 7):
        tracker.log(step, {"loss/g_rec": step / 8})
        if step % 2 == 0:
            tracker.commit(step)
    tracker.finish({"run_id": folder.run_id, "status": "finished", "metrics": {}})
    assert [row.step for row in folder.rows()] == list(range(1, 7))
    assert history(store, folder.run_id, "loss/g_rec") == [(step, step / 8) for step in range(1, 7)]
    run = store.find(folder.run_id)
    assert run is not None and run.info.status == "FINISHED"


@pytest.mark.usefixtures("jumping")
def test_a_resume_drops_rows_by_step(folder: RunFolder, store: Store, history: History) -> None:
    for first, last in ((1, 5), (4, 6)):  # killed after step 5, with a checkpoint of step 3
        tracker = Tracker(folder, connect=lambda: store, params={}, tags={}, run_name="run")
        tracker.start(first - 1)
        for step in range(first, last + 1):
            tracker.log(step, {"loss/g_rec": step / 8})
            if step % 3 == 0:
                tracker.commit(step)
    assert [row.step for row in folder.rows()] == list(range(1, 7))
    assert history(store, folder.run_id, "loss/g_rec") == [(step, step / 8) for step in range(1, 7)]


@pytest.mark.usefixtures("jumping")
def test_a_rebuilt_store_has_the_same_points(folder: RunFolder, store: Store, history: History) -> None:
    for step in range(1, 4):
        folder.append(step, {"loss/g_rec": step / 8})
    folder.write_result({"run_id": folder.run_id, "status": "finished", "metrics": {}, "finished_at": time.time()})
    sync(folder.path.parents[1], store)
    assert history(store, folder.run_id, "loss/g_rec") == [(step, step / 8) for step in range(1, 4)]


@pytest.mark.usefixtures("jumping")
def test_locks_do_not_expire(tmp_path: Path) -> None:
    """A lock is held by a process, not until a time."""
    from stargan_lab.files import is_locked

    with locked(tmp_path / ".lock"):
        assert is_locked(tmp_path / ".lock")
    assert not is_locked(tmp_path / ".lock")
