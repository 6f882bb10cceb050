"""The MLflow store: opened concurrently, silently, and with errors in one line."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stargan_lab.errors import LabError
from stargan_lab.files import locked
from stargan_lab.tracking.run_folder import MetricRow
from stargan_lab.tracking.store import Store, StoreError

OPEN = """
import sys, time
from pathlib import Path
import mlflow  # so that all are ready to open at the same moment
from stargan_lab.tracking.store import Store
outputs, name = Path(sys.argv[1]), sys.argv[2]
(outputs / f"ready-{name}").touch()
while not (outputs / "go").exists():
    time.sleep(0.002)
store = Store.open(outputs)
own, shared = store.open_run(name, name, 1.0), store.open_run("shared", "shared", 1.0)
store.set_tags(shared.info.run_id, {name: "here"})
"""


def test_concurrent_processes_open_a_new_store(tmp_path: Path) -> None:
    names = ["p0", "p1", "p2", "p3"]
    command = [sys.executable, "-c", OPEN, str(tmp_path)]
    workers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in names]
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("ready-*"))) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (tmp_path / "go").touch()
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0, 0], errors
    store = Store.open(tmp_path)
    runs = store.client.search_runs([store.experiment_id])
    assert sorted(run.data.tags["run_id"] for run in runs) == [*names, "shared"]
    shared = store.find("shared")
    assert shared is not None
    assert set(names) <= set(shared.data.tags)


@pytest.mark.parametrize("name", ["it's", 'the "norm"', "norm=layer bias=[1, 2]"])
def test_a_tag_with_quotes_is_found_again(store: Store, name: str) -> None:
    first, other = (store.open_tagged({"report": each}, each) for each in (name, "other"))
    assert store.open_tagged({"report": name}, name).info.run_id == first.info.run_id != other.info.run_id
    with pytest.raises(StoreError, match="both kinds of quotes"):
        store.open_tagged({"report": '"it\'s"'}, name)


def test_empty_tag_replaces_another(store: Store) -> None:
    run = store.open_run("a", "a", 1.0).info.run_id
    for value in ("collapse", ""):
        store.set_tags(run, {"warnings": value})
        found = store.find("a")
        assert found is not None and found.data.tags["warnings"] == value


def test_new_store_is_silent_and_writes_only_to_outputs(tmp_path: Path) -> None:
    outputs = tmp_path / "out puts ä"
    script = (
        "import sys; from pathlib import Path; from stargan_lab.tracking.store import Store\n"
        "assert 'mlflow' not in sys.modules, 'imported too early'\n"
        "store = Store.open(Path(sys.argv[1])); run = store.open_run('a', 'a', 1.0)\n"
        "store.artifact(run.info.run_id, Path(sys.argv[2])); store.set_status(run.info.run_id, 'finished')\n"
        "import mlflow.telemetry.utils as t; assert t.is_telemetry_disabled()"
    )
    (tmp_path / "grid.txt").write_text("x")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    here = tmp_path / "here"
    here.mkdir()
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script, str(outputs), str(tmp_path / "grid.txt")],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(here.iterdir()) == []
    assert (outputs / "mlflow.db").exists()
    assert [path.read_text() for path in (outputs / "mlartifacts").rglob("grid.txt")] == ["x"]


def test_custom_database_and_experiment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'elsewhere' / 'all.db'}"
    first = Store.open(tmp_path / "a", uri, "mine")
    run = first.open_run("r", "a run", 12.5)
    second = Store.open(tmp_path / "b", uri, "mine")
    found = second.find("r")
    assert found is not None
    assert (found.info.run_id, found.info.run_name, found.info.start_time) == (run.info.run_id, "a run", 12500)
    assert Store.open(tmp_path / "b", uri, "other").find("r") is None


@pytest.mark.parametrize("uri", ["sqlite:////proc/none/mlflow.db", "http://127.0.0.1:9"])
def test_store_that_cannot_be_opened_raises_a_one_line_error(tmp_path: Path, uri: str) -> None:
    began = time.monotonic()
    with pytest.raises(LabError) as error:
        Store.open(tmp_path, uri)
    assert "\n" not in str(error.value)
    assert f"MLflow store {uri} cannot be opened: " in str(error.value)
    assert time.monotonic() - began < 20


def test_deleted_experiment_is_named(store: Store, tmp_path: Path) -> None:
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(LabError, match=r"'stargan-lab' was deleted.*tracking\.experiment"):
        Store.open(tmp_path)


def test_run_deleted_in_the_ui_is_created_again(store: Store) -> None:
    first = store.open_run("r", "r", 1.0).info.run_id
    store.delete_run(first)
    assert store.open_run("r", "r", 1.0).info.run_id != first


def test_more_points_than_fit_in_one_request(store: Store) -> None:
    run = store.open_run("r", "r", 1.0).info.run_id
    rows = [MetricRow(step, 1000.0 + step, {"loss/g_rec": 0.5, "loss/d_gp": 0.25}) for step in range(1300)]
    store.send_rows(run, rows)
    store.send_rows(run, rows)
    assert len(store.client.get_metric_history(run, "loss/g_rec")) == 1300
    assert len(store.client.get_metric_history(run, "loss/d_gp")) == 1300


def test_class_names_with_characters_that_mlflow_forbids(tmp_path: Path) -> None:
    """MLflow allows few characters in metric names; the plain files keep the original name."""
    store = Store.open(tmp_path)
    run = store.open_run("odd", "odd", 1.0).info.run_id
    names = [
        "eval/accuracy/60+",
        "eval/accuracy/cats & dogs",
        "eval/accuracy/행복",
        "eval/accuracy/faces.as.moods.happy",
    ]
    store.send_rows(run, [MetricRow(1, 1.0, {name: 0.5 for name in names})])
    found = store.find("odd")
    assert found is not None
    assert set(found.data.metrics) == {
        "eval/accuracy/60_",
        "eval/accuracy/cats _ dogs",
        "eval/accuracy/행복",
        "eval/accuracy/faces.as.moods.happy",
    }


ADD = """
import sys
from pathlib import Path
from stargan_lab.tracking.store import Store
store = Store.open(Path(sys.argv[1]))
run = store.open_run("r", "r", 1.0).info
store.artifact(run.run_id, Path(sys.argv[2]))
print(*(each.path for each in store.client.list_artifacts(run.run_id)), run.artifact_uri)
"""


def test_copied_outputs_use_their_own_artifacts(tmp_path: Path, empty_database: Path) -> None:
    """A copy works wherever it is stored, and the original does not change."""

    def add(outputs: Path, name: str) -> str:
        """Add an artifact in a new process (MLflow caches locations); returns the run's artifacts and their place."""
        (tmp_path / name).write_text(name)
        command = [sys.executable, "-c", ADD, str(outputs), str(tmp_path / name)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        artifacts, _, place = out.strip().rpartition(" ")
        assert Path(place).is_relative_to(outputs / "mlartifacts")
        return artifacts

    original, copy = tmp_path / "first", tmp_path / "seco'nd_%"
    original.mkdir()
    shutil.copy(empty_database, original / "mlflow.db")
    assert add(original, "a.txt") == "a.txt"
    shutil.copytree(original, copy)
    assert add(copy, "b.txt") == "a.txt b.txt"
    assert add(original, "c.txt") == "a.txt c.txt"
    shutil.move(copy, tmp_path / "moved")
    assert add(tmp_path / "moved", "d.txt") == "a.txt b.txt d.txt"
    assert not copy.exists()


def test_lock_of_a_process_that_hangs_is_a_store_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargan_lab.tracking.store.LOCK_SECONDS", 0.1)
    with locked(store._lock), pytest.raises(StoreError, match=r"cannot be used: .*mlflow\.db\.lock: locked"):
        store.open_run("r", "r", 1.0)
