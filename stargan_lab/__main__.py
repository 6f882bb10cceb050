"""The command ``stargan-lab``, also as ``python -m stargan_lab``."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from stargan_lab.cli.main import main

COLLECT_AFTER = 10_000
"""New objects between garbage collections. With Python's default of 700, collections take a fifth of the time in which
torch and MLflow are imported."""


def command() -> NoReturn:
    """Run one command and exit without taking the interpreter apart, which takes two seconds with torch and MLflow."""
    gc.set_threshold(COLLECT_AFTER)
    code = main()
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at the end of any program
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
