"""For the server that forks the processes of a sweep's jobs: end without taking the interpreter apart.

With torch, that takes two seconds, during which the server would hold the pipes of the finished sweep open. Imported
before the libraries, so that what they register runs first.
"""

import atexit
import os
import sys
from contextlib import suppress

SERVER = os.getpid()


def _end() -> None:
    if os.getpid() != SERVER:  # a process that a library has forked
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or None
            stream.flush()
    os._exit(0)


atexit.register(_end)
