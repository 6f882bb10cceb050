"""Runs without training, and image files."""

import shutil
import sys
from pathlib import Path

import pytest
from stored import write_run


@pytest.fixture(autouse=True)
def _fixed_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stargan-lab"])


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Outputs with a run without and one with an average."""
    outputs = tmp_path_factory.mktemp("lab") / "outputs"
    return outputs, write_run(outputs), write_run(outputs, "ema.decay=0.9", "seed=1", step=7)


@pytest.fixture
def lab(here: Path, written: tuple[Path, str, str]) -> tuple[str, str]:
    """Ids of a run without and one with an average; their outputs are in the current folder."""
    shutil.copytree(written[0], here / "outputs")
    return written[1:]
