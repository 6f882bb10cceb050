"""The line that an unexpected error of a run becomes."""

import sys
from pathlib import Path

import pytest

from stargan_lab import compose
from stargan_lab.registry import family
from stargan_lab.runs.failure import described
from stargan_lab.tracking.run_folder import RunFolder

LOSSES = """
from stargan_lab.registry import family
from nested_pkg.deep.helpers import halve


@family("image_metric").register("halved")
def halved(batch):
    return halve(batch)
"""
HELPERS = """
def halve(batch):
    return batch / 0
"""


def test_an_error_in_a_users_package_names_component_and_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a module of the package that ``imports`` does not name."""
    monkeypatch.setattr(family("image_metric"), "_entries", dict(family("image_metric")._entries))
    monkeypatch.setattr(sys, "path", [*sys.path])
    package = here / "nested_pkg"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from nested_pkg import losses\n")
    (package / "losses.py").write_text(LOSSES)
    (package / "deep" / "helpers.py").write_text(HELPERS)  # deep has no __init__.py, and no file
    config = compose(["preset=tiny", "imports=[nested_pkg]"])
    folder = RunFolder(here / "runs" / "a1b2")
    losses = sys.modules["nested_pkg.losses"]
    cause = "unsupported operand type(s) for /: 'str' and 'int'"
    with pytest.raises(TypeError) as wrong:
        losses.halved("a")
    expected = f"TypeError: {cause} in {package}/deep/helpers.py, line 3; traceback: {folder.traceback_path}"
    assert str(described(wrong.value, config, folder)) == expected
    with pytest.raises(TypeError) as missing:
        losses.halved.__globals__["halve"] = None
        losses.halved("a")
    place = f" in image_metric 'halved', {package}/losses.py, line 8; traceback: "
    assert place in str(described(missing.value, config, folder))
