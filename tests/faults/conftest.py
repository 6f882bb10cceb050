"""A folder with a finished run, and commands that must be refused in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stored import write_run

from stargan_lab.cli.main import main

Refused = Callable[..., str]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    outputs = tmp_path_factory.mktemp("lab") / "outputs"
    return outputs, write_run(outputs)


@pytest.fixture
def run(here: Path, written: tuple[Path, str]) -> Path:
    """The folder of a finished run, in ``outputs/`` of the current folder."""
    shutil.copytree(written[0], here / "outputs")
    return Path("outputs/runs") / written[1]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with one line of error; returns that line."""

    def refuse(*arguments: str) -> str:
        code = main(arguments)
        out, err = capfd.readouterr()
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code in (1, 2) and len(errors) == 1 and "Traceback" not in err, (code, out, err)
        assert len(errors[0]) < 2000 and errors[0].isprintable(), errors[0]
        return errors[0]

    return refuse
