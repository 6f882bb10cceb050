"""Servers on loopback: PostgreSQL run by an unprivileged user, and MLflow's."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from tools import require_tool


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listening() -> Iterator[tuple[str, int, str]]:
    """Address in the kernel's hexadecimal form, port and inode of every TCP socket of this machine that listens.

    ``0100007F`` is 127.0.0.1; zeros are all interfaces.
    """
    for name in ("tcp", "tcp6"):
        for words in map(str.split, Path("/proc/net", name).read_text().splitlines()[1:]):
            address, _, port = words[1].rpartition(":")
            if words[3] == "0A":
                yield address, int(port, 16), words[9]


def listening_addresses(port: int) -> set[str]:
    """The addresses that processes of this machine listen on at a TCP port, as ``_listening`` writes them."""
    return {address for address, number, _ in _listening() if number == port}


def listening_addresses_of(pid: int) -> set[str]:
    """The addresses that a process and its descendants listen on, as ``_listening`` writes them."""
    listening = list(_listening())
    opened = {target for each in process_tree(pid) for target in _open_files(each)}
    return {address for address, _, inode in listening if f"socket:[{inode}]" in opened}


def process_tree(pid: int) -> list[int]:
    """A process and its descendants, except those that end meanwhile."""
    children: list[str] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += (thread / "children").read_text().split()
    return [pid, *(each for child in children for each in process_tree(int(child)))]


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            yield os.readlink(link)


@contextmanager
def postgresql() -> Iterator[str]:
    """A new PostgreSQL server; yields a URI without the database's name. Root starts it as ``postgres``."""
    programs = "/usr/lib/postgresql/*/bin"
    initdb, pg_ctl = require_tool("initdb", programs), require_tool("pg_ctl", programs)
    folder, port = Path(tempfile.mkdtemp(prefix="postgresql-")), free_port()  # pytest's folders are private to root
    user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]

    def command(*words: str) -> None:
        done = subprocess.run([*user, *words], cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
    data = str(folder / "data")
    try:
        command(initdb, "-D", data, "-A", "trust", "-U", "lab", "--no-sync")
        log = subprocess.DEVNULL
        start = [*user, pg_ctl, "-D", data, "-w", "-o", options, "start"]
        assert subprocess.run(start, cwd="/", stdin=log, stdout=log, stderr=log).returncode == 0
        try:
            yield f"postgresql+psycopg2://lab@127.0.0.1:{port}"
        finally:
            command(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


class MlflowServer:
    """``mlflow server`` with artifacts in ``folder``; it can be stopped, suspended and started again.

    Args:
        database: its URI; None: an SQLite database in ``folder``.
    """

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.artifacts = folder / "artifacts"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        database = database or f"sqlite:///{folder / 'server.db'}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--workers", "1"]
        self._command += ["--artifacts-destination", str(self.artifacts), "--host", "127.0.0.1"]
        self._command += ["--port", str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, start_new_session=True)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the server ended"
            with suppress(OSError), urlopen(f"{self.uri}/health", timeout=5):
                return
            time.sleep(0.2)
        raise AssertionError("the server does not answer")

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
