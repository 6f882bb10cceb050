"""Shared by the tests of tracking: a run on disk and a look into MLflow."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store

History = Callable[[Store, str, str], list[tuple[int, float]]]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "a1b2")
    folder.path.mkdir(parents=True)
    folder.config_path.write_text("seed: 1\n")
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without runs; setting them up takes seconds, so it is done once."""
    folder = tmp_path_factory.mktemp("mlflow")
    Store.open(folder, experiment="unused")
    return folder / "mlflow.db"


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


@pytest.fixture
def store(tmp_path: Path, database: Path) -> Store:
    return Store.open(tmp_path)


@pytest.fixture
def history() -> History:
    def points(store: Store, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) of every point of a metric in MLflow, oldest first."""
        run = store.find(run_id)
        assert run is not None
        found = store.client.get_metric_history(run.info.run_id, metric)
        return sorted((m.step, m.value) for m in found)

    return points
