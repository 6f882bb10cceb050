"""One tiny run starts from nothing; the others reuse its data and caches."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Lab, Outcome

TINY = ("train", "preset=tiny")


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Outcome]:
    """``train preset=tiny`` in an empty directory."""
    lab = Lab(tmp_path_factory.mktemp("first"))
    return lab, lab(*TINY)


@pytest.fixture(scope="session")
def prepare(first: tuple[Lab, Outcome]) -> Callable[[Path], Path]:
    """Copies data and caches, but no run, into a directory."""
    lab, outcome = first
    assert outcome.code == 0, outcome.err

    def into(folder: Path) -> Path:
        for part in ("cache", "data"):
            shutil.copytree(lab.outputs / part, folder / "outputs" / part)
        return folder

    return into


@pytest.fixture
def lab(prepare: Callable[[Path], Path], tmp_path: Path) -> Lab:
    """A directory with the data and caches of the tiny preset, without runs."""
    return Lab(prepare(tmp_path))
