"""Commands that are refused."""

from pathlib import Path

import pytest

from stargan_lab.cli.main import main


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The error line of a command that exits with code 2 and writes nothing."""
    before = sorted(Path().rglob("*"))
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(errors) == 1 and err.splitlines()[-1] == errors[0], err
    assert sorted(Path().rglob("*")) == before
    return errors[0]
