"""External programs that some tests need."""

import os
import shutil
from glob import glob

import pytest


def require_tool(name: str, folders: str = "") -> str:
    """Path of a program. Without it the test is skipped, but fails in CI, where ``.ci/run`` installs it.

    Args:
        folders: a pattern of directories to search besides the path.
    """
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(glob(folders)))
    if path is None:
        missing = f"needs {name}, which is not installed (.ci/run lists the Debian packages)"
        if os.environ.get("STARGAN_LAB_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
