"""External programs that some tests need."""

import os
import shutil

import pytest


def require_tool(name: str) -> str:
    """Path of a program. Without it the test is skipped, but fails in CI, where ``.ci/run`` installs it."""
    path = shutil.which(name)
    if path is None:
        missing = f"needs {name}, which is not installed (.ci/run lists the Debian packages)"
        if os.environ.get("STARGAN_LAB_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
