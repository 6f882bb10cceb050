"""Temporary files that killed processes left: who may delete which."""

import glob
import os
import re
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

    Those of dead processes of this machine, if the caller is ``alone`` on it, and those older than
    ``ABANDONED_SECONDS``.

    Args:
        partials: with ``process_tag`` in their names.
        alone: whether the caller holds a lock that the writers on this machine take.
    """
    return [path for path in partials if (alone and _of_dead_process(path)) or _age(path) > ABANDONED_SECONDS]


def _of_dead_process(path: Path) -> bool:
    """Whether a process of this machine wrote it that has ended; without ``/proc``, whether one of this machine did."""
    match = re.search(rf"{machine_tag()}-(\d+)\.", path.name)
    if match is None:
        return False
    try:
        state = Path(f"/proc/{match[1]}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"  # ended, but its parent has not noticed


def _age(path: Path) -> float:
    """Seconds since the file was written, by the clock of the file server; 0 if it has been deleted."""
    with suppress(FileNotFoundError), tempfile.TemporaryFile(dir=path.parent) as file:
        return os.fstat(file.fileno()).st_mtime - path.stat().st_mtime
    return 0.0


def process_tag() -> str:
    """Names this process in temporary files."""
    return f"{machine_tag()}-{os.getpid()}"


@cache
def machine_tag() -> str:
    """Stays equal when the machine is restarted."""
    return sha256(f"{socket.gethostname()} {uuid.getnode():012x}".encode()).hexdigest()[:8]
