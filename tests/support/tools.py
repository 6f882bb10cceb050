"""Programs and optional packages that some tests need."""

import os
import shutil
from glob import glob
from importlib.util import find_spec
from typing import NoReturn

import pytest


def require_tool(name: str, folders: str = "") -> str:
    """Path of a program. Without it the test is skipped, but fails in CI, where ``.ci/run`` installs it.

    Args:
        folders: a pattern of directories to search besides the path.
    """
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(glob(folders)))
    if path is None:
        missing(f"needs {name}, which is not installed (.ci/run lists the Debian packages)")
    return path


def require_package(name: str) -> None:
    """Skip the test without an optional package, but fail in CI, where ``.ci/run`` installs it."""
    if find_spec(name) is None:
        missing(f"needs the package {name}, which is not installed (setup.cfg lists it in an extra)")


def missing(what: str) -> NoReturn:
    """Skip the test, or fail in CI."""
    if os.environ.get("STARGAN_LAB_CI"):
        pytest.fail(what)
    pytest.skip(what)
