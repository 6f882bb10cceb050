"""Programs that tests run: without one, a test is skipped on a user's machine and fails in CI."""

import os
import shutil

import pytest


def needs(program: str) -> str:
    """The path of ``program``."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed"
        pytest.fail(reason) if os.environ.get("STARGAN_LAB_CI") else pytest.skip(reason)
    return path
