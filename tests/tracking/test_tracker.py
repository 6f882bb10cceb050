"""A run in its files and in MLflow: resumed, killed while sending, with a store that fails."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from stargan_lab.errors import LabError
from stargan_lab.tracking.publish import Publication
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.sync import add_tags, publish_missing, sync
from stargan_lab.tracking.tracker import Tracker

History = Callable[[Store, str, str], list[tuple[int, float]]]
TAGS = {"seed": "1", "ablation.norms": "layer"}


def tracker_of(folder: RunFolder, store: Store | None, params: Mapping[str, str] | None = None) -> Tracker:
    params = {"discriminator.norm": "layer"} if params is None else params
    connect = None if store is None else lambda: store
    return Tracker(folder, connect=connect, params=params, tags=TAGS, run_name="layer · seed 1")


def result_of(status: str = "finished", **metrics: float) -> dict[str, Any]:
    return {"run_id": "a1b2", "status": status, "metrics": {k.replace("__", "/"): v for k, v in metrics.items()}}


def run_steps(tracker: Tracker, first: int, last: int) -> None:
    for step in range(first, last + 1):
        tracker.log(step, {"loss/g_rec": step / 8})


def test_run_from_start_to_finish(folder: RunFolder, store: Store, history: History) -> None:
    tracker = tracker_of(folder, store)
    tracker.start(0)
    running = store.find("a1b2")
    assert running is not None
    assert running.info.status == "RUNNING"
    run_steps(tracker, 1, 5)
    assert history(store, "a1b2", "loss/g_rec") == []
    tracker.commit(4)
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 5)]
    folder.samples.mkdir()
    (folder.samples / "4.png").write_bytes(b"png")
    tracker.artifact(folder.samples / "4.png", "samples")
    tracker.log(5, {"eval/edit": 0.512345678, "eval/edit/Male": 0.25})
    final = {"eval__edit": 0.512345678, "eval__edit__Male": 0.25, "eval__fid": 47.123456}
    tracker.finish(result_of(**final))

    run = store.find("a1b2")
    assert run is not None
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "layer · seed 1"
    assert run.data.params == {"discriminator.norm": "layer"}
    assert {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")} == TAGS | {"run_id": "a1b2"}
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.metrics == {"loss/g_rec": 0.625, "eval/edit": 0.5123, "eval/edit/Male": 0.25, "eval/fid": 47.12}
    assert history(store, "a1b2", "eval/edit") == [(5, 0.5123)]
    assert [a.path for a in store.client.list_artifacts(run.info.run_id)] == ["config.yaml", "result.json", "samples"]
    written = folder.result()
    assert written is not None
    assert written["metrics"]["eval/fid"] == 47.123456


def test_resume_continues_the_same_run_without_duplicates(folder: RunFolder, store: Store, history: History) -> None:
    first = tracker_of(folder, store)
    first.start(0)
    run_steps(first, 1, 10)
    first.commit(6)  # killed after this: steps 7 to 10 are lost
    before = store.find("a1b2")
    second = tracker_of(RunFolder(folder.path), store)
    second.start(6)
    run_steps(second, 7, 12)
    second.commit(12)
    second.finish(result_of(eval__edit=0.5))
    after = store.find("a1b2")
    assert before is not None and after is not None
    assert before.info.run_id == after.info.run_id
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 13)]
    assert [row.step for row in folder.rows()] == list(range(1, 13))


def test_metrics_of_the_resumed_step_are_logged_once(folder: RunFolder, store: Store, history: History) -> None:
    first = tracker_of(folder, store)
    first.start(0)
    first.log(6, {"loss/g_rec": 0.75})
    first.commit(6)
    first.log(6, {"eval/edit": 0.25})
    first.flush()
    second = tracker_of(RunFolder(folder.path), store)
    second.start(6)
    second.log(6, {"eval/edit": 0.25, "eval/leak": 0.125})
    second.finish(result_of(eval__edit=0.25, eval__leak=0.125))
    assert history(store, "a1b2", "eval/edit") == [(6, 0.25)]
    assert history(store, "a1b2", "eval/leak") == [(6, 0.125)]


def test_resume_from_a_checkpoint_older_than_the_rows_in_mlflow(
    folder: RunFolder, store: Store, history: History
) -> None:
    first = tracker_of(folder, store)
    first.start(0)
    run_steps(first, 1, 10)
    first.commit(10)
    folder.update_tags({"ablation.other": "x"})
    second = tracker_of(RunFolder(folder.path), store)
    second.start(5)  # the checkpoint of step 10 was damaged
    second.log(6, {"loss/g_rec": 100.0})
    second.commit(6)
    assert history(store, "a1b2", "loss/g_rec") == [*((s, s / 8) for s in range(1, 6)), (6, 100.0)]
    run = store.find("a1b2")
    assert run is not None
    assert run.data.tags["ablation.other"] == "x"
    assert len(store.client.search_runs([store.experiment_id])) == 1


KILLED = """
import os, sys
from pathlib import Path
from stargan_lab.tracking.publish import State
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.tracker import Tracker
outputs = Path(sys.argv[1])
folder = RunFolder(outputs / "runs" / "a1b2")
tracker = Tracker(folder, connect=lambda: Store.open(outputs), params={}, tags={}, run_name="a")
tracker.start(0)
for step in range(1, 9):
    tracker.log(step, {"loss/g_rec": step / 8})
real = Store.send_rows
def send_then_die(self, mlflow_id, rows):
    if sys.argv[2] == "half":
        real(self, mlflow_id, rows[:3])
    else:
        real(self, mlflow_id, rows)
    os._exit(9)
Store.send_rows = send_then_die
tracker.commit(8)
"""


@pytest.mark.parametrize("moment", ["half", "all"])
@pytest.mark.parametrize("resumed", [8, 4])
def test_kill_between_sending_and_saving_progress_duplicates_nothing(
    folder: RunFolder, database: Path, tmp_path: Path, history: History, moment: str, resumed: int
) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment]).returncode == 9
    store = Store.open(tmp_path)
    assert len(history(store, "a1b2", "loss/g_rec")) == (3 if moment == "half" else 8)
    tracker = tracker_of(folder, store, {})
    tracker.start(resumed)
    run_steps(tracker, resumed + 1, 10)
    tracker.commit(10)
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 11)]


def test_changed_param_keeps_its_value_with_a_warning(
    folder: RunFolder, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    tracker_of(folder, store, {"norm": "layer", "seed": "1"}).start(0)
    with caplog.at_level(logging.WARNING):
        tracker_of(folder, store, {"norm": "layer", "seed": "1"}).start(0)
        assert caplog.messages == []
        tracker_of(folder, store, {"norm": "batch", "seed": "1", "width": "8"}).start(0)
    assert caplog.messages == ["run a1b2: MLflow keeps a different value of norm"]
    run = store.find("a1b2")
    assert run is not None
    assert run.data.params == {"norm": "layer", "seed": "1", "width": "8"}


def test_failing_store_causes_one_warning(
    folder: RunFolder, tmp_path: Path, store: Store, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = tracker_of(folder, store)
    tracker.start(0)
    run_steps(tracker, 1, 4)
    tracker.commit(4)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("DROP TABLE metrics")
    with caplog.at_level(logging.WARNING, "stargan_lab"):
        run_steps(tracker, 5, 8)
        tracker.commit(8)
        run_steps(tracker, 9, 9)
        tracker.finish(result_of(eval__edit=0.5))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("stargan_lab")]
    assert len(ours) == 1
    assert "\n" not in ours[0]
    assert "by `stargan-lab track sync`" in ours[0]
    assert [row.step for row in folder.rows()] == list(range(1, 10))

    fresh = Store.open(tmp_path / "fresh")
    for _ in range(2):
        assert sync(tmp_path, fresh).written == ["a1b2"]
    assert history(fresh, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 10)]
    assert history(fresh, "a1b2", "eval/edit") == [(9, 0.5)]


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_unfinished_run_can_be_resumed(
    folder: RunFolder, store: Store, history: History, status: str, shown: str
) -> None:
    first = tracker_of(folder, store)
    first.start(0)
    run_steps(first, 1, 6)
    first.commit(4)
    first.finish(result_of(status))
    run = store.find("a1b2")
    assert run is not None
    assert run.info.status == shown
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 5)]
    second = tracker_of(RunFolder(folder.path), store)
    second.start(4)
    assert not folder.result_path.exists()
    run_steps(second, 5, 6)
    second.finish(result_of())
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 7)]
    with pytest.raises(LabError, match=r"^already finished: run a1b2$"):
        tracker_of(folder, store).start(4)


def test_sync_of_a_run_recorded_without_store(
    folder: RunFolder, database: Path, tmp_path: Path, history: History
) -> None:
    tracker = tracker_of(folder, None)
    tracker.start(0)
    run_steps(tracker, 1, 4)
    tracker.commit(4)
    tracker.finish(result_of(eval__edit=0.5))
    store = Store.open(tmp_path)
    sync(tmp_path, store)
    run = store.find("a1b2")
    assert run is not None
    assert run.info.run_name == "layer · seed 1"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"discriminator.norm": "layer"}
    assert run.data.tags["ablation.norms"] == "layer"
    assert run.info.start_time == round(folder.rows()[0].time * 1000)
    assert len(history(store, "a1b2", "loss/g_rec")) == 4


def test_sync_skips_uncommitted_rows_and_active_runs(
    folder: RunFolder, tmp_path: Path, store: Store, history: History
) -> None:
    tracker = tracker_of(folder, None)
    tracker.start(0)
    run_steps(tracker, 1, 6)
    tracker.commit(4)
    tracker.flush()
    with folder.claim():
        done = sync(tmp_path, store)
        assert (done.written, done.training, done.damaged) == ([], ["a1b2"], [])
        assert store.find("a1b2") is None
    sync(tmp_path, store)
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 5)]
    run = store.find("a1b2")
    assert run is not None
    assert run.info.status == "KILLED"
    again = tracker_of(RunFolder(folder.path), store)
    again.start(4)
    run_steps(again, 5, 6)
    again.finish(result_of())
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 7)]


@pytest.mark.parametrize("finished", [False, True])
def test_a_killed_run_is_completed_in_mlflow_by_a_later_command(
    folder: RunFolder, store: Store, history: History, finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in training, or after its result was written and before MLflow got it."""
    tracker = tracker_of(folder, store)
    tracker.start(0)
    run_steps(tracker, 1, 4)
    tracker.commit(4)
    run_steps(tracker, 5, 6)
    tracker.flush()
    if finished:
        with monkeypatch.context() as patch:
            patch.setattr(Publication, "close", lambda *arguments: None)
            tracker.finish(result_of(eval__edit=0.5))
    with folder.claim():
        assert publish_missing(store, [folder]) == 0, "it is being trained"
    assert [publish_missing(store, [RunFolder(folder.path)]) for _ in range(2)] == [1, 0]
    run = store.find("a1b2")
    assert run is not None and run.info.status == ("FINISHED" if finished else "KILLED")
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 7 if finished else 5)]
    assert ("eval/edit" in run.data.metrics) == finished


def test_a_run_resumed_without_mlflow_is_sent_later(folder: RunFolder, store: Store, history: History) -> None:
    tracker = tracker_of(folder, store)
    tracker.start(0)
    run_steps(tracker, 1, 4)
    tracker.commit(4)
    assert publish_missing(store, [RunFolder(folder.path)]) == 1
    again = tracker_of(RunFolder(folder.path), None)
    again.start(4)
    run_steps(again, 5, 6)
    again.finish(result_of(eval__edit=0.5))
    assert publish_missing(store, [RunFolder(folder.path)]) == 1
    assert history(store, "a1b2", "loss/g_rec") == [(s, s / 8) for s in range(1, 7)]


def test_tags_added_while_a_run_is_published_are_sent_later(
    folder: RunFolder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another sweep tags a finished run without its lock."""
    tracker = tracker_of(folder, None)
    tracker.start(0)
    run_steps(tracker, 1, 2)
    tracker.finish(result_of(eval__edit=0.5))
    close = Publication.close

    def close_and_tag(*arguments: Any) -> None:
        close(*arguments)
        add_tags(RunFolder(folder.path), {"ablation.third": "x"})

    monkeypatch.setattr(Publication, "close", close_and_tag)
    assert publish_missing(store, [folder]) == 1
    monkeypatch.setattr(Publication, "close", close)
    assert publish_missing(store, [folder]) == 1 and publish_missing(store, [folder]) == 0
    run = store.find("a1b2")
    assert run is not None and run.data.tags["ablation.third"] == "x"


def test_a_kill_while_a_copied_run_is_published_loses_nothing(
    folder: RunFolder, store: Store, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = tracker_of(folder, None)
    tracker.start(0)
    run_steps(tracker, 1, 2)
    tracker.finish(result_of(eval__edit=0.5))
    folder.state_path.unlink()  # as copied without it

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Publication, "send", killed)
        publish_missing(store, [folder])
    assert publish_missing(store, [RunFolder(folder.path)]) == 1
    assert history(store, "a1b2", "loss/g_rec") == [(1, 0.125), (2, 0.25)]


def test_sync_reports_damaged_runs(folder: RunFolder, tmp_path: Path, store: Store) -> None:
    broken = RunFolder(tmp_path / "runs" / "00")
    broken.path.mkdir()
    broken.result_path.write_text("{")
    done = sync(tmp_path, store)
    assert done.written == ["a1b2"]
    assert len(done.damaged) == 1
    assert "runs/00/result.json" in done.damaged[0]


def test_tag_a_finished_run(folder: RunFolder, store: Store) -> None:
    tracker = tracker_of(folder, store)
    tracker.start(0)
    tracker.finish(result_of())
    add_tags(folder, {"ablation.depth": "2"})
    assert publish_missing(store, [folder]) == 1 and publish_missing(store, [folder]) == 0
    assert folder.tags()["ablation.depth"] == "2"
    run = store.find("a1b2")
    assert run is not None
    assert run.data.tags["ablation.depth"] == "2"


def test_a_damaged_run_does_not_keep_others_from_mlflow(
    tmp_path: Path, store: Store, folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = RunFolder(tmp_path / "runs" / "bad")
    damaged.write_result({"status": "finished", "metrics": {}})
    (damaged.path / "tracking.json").write_text("[")
    folder.write_result({"status": "finished", "metrics": {}})
    assert publish_missing(store, [damaged, folder]) == 1
    assert store.find(folder.run_id) is not None
    assert "run bad is not sent to MLflow" in caplog.text


def test_unregistered_and_infinite_metrics_are_refused(folder: RunFolder) -> None:
    tracker = tracker_of(folder, None)
    tracker.start(0)
    with pytest.raises(LabError, match="did you mean 'loss/g_rec'"):
        tracker.log(1, {"loss/grec": 1.0})
    with pytest.raises(LabError, match="'loss/g_rec' is inf at step 3"):
        tracker.log(3, {"loss/g_rec": float("inf")})
    with pytest.raises(LabError, match="did you mean 'eval/edit'"):
        tracker.finish(result_of(eval__edti=1.0))
    assert not folder.result_path.exists()
