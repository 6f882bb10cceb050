"""Temporary files that killed processes left: who may delete which."""

import glob
import os
import socket
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

ABANDONED_SECONDS = 86_400.0
"""A temporary file of another machine is deleted at this age. One in use may not grow for hours, e.g. while a network
is trained that is then written.
"""


def remove_partial(path: Path) -> None:
    """Delete the temporary files of writes to ``path`` that were killed; no other process, on any host, writes it."""
    for partial in _partial(path):
        partial.unlink(missing_ok=True)


def remove_abandoned(path: Path, alone: bool) -> None:
    """As ``remove_partial``, where other hosts may be writing ``path``; see ``abandoned``."""
    for partial in abandoned(_partial(path), alone):
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Iterator[Path]:
    return path.parent.glob(f".{glob.escape(path.name)}.*")


def abandoned(partials: Iterable[Path], alone: bool) -> list[Path]:
    """The temporary files or directories that no process writes any more.

    Those of this machine if the caller is ``alone`` on it, and those older than ``ABANDONED_SECONDS``.

    Args:
        partials: all in one directory, with ``machine_tag`` in their names.
    """
    found = list(partials)
    own = [path for path in found if alone and f"{machine_tag()}." in path.name]
    return own + [path for path in found if path not in own and _age(path) > ABANDONED_SECONDS]


def _age(path: Path) -> float:
    """Seconds since the file was written, by the clock of the file server; 0 if it has been deleted."""
    with suppress(FileNotFoundError), tempfile.TemporaryFile(dir=path.parent) as file:
        return os.fstat(file.fileno()).st_mtime - path.stat().st_mtime
    return 0.0


@cache
def machine_tag() -> str:
    """Names this machine in temporary files, before and after it is restarted."""
    return sha256(f"{socket.gethostname()} {uuid.getnode():012x}".encode()).hexdigest()[:8]
