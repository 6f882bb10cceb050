"""Which process trains a run, even where file locks do not reach: a lease that its holder renews.

Processes on one host exclude each other by a lock. On a shared file system without locks between hosts, a file names
the holder, and its modification time is renewed every few seconds. A lease that has expired is free, and so is one of
this machine before it was restarted.
"""

import errno
import glob
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

from stargan_lab.errors import LockedError, one_line
from stargan_lab.files import write_json
from stargan_lab.files.partial import remove_partial

LEASE_SECONDS = 120.0
"""A lease of another host is free after this time without a renewal."""
RENEW_SECONDS = 15.0
SETTLE_SECONDS = 5.0
"""How long to wait after taking over a lease before it is read again; NFS caches attributes for 3 s."""

RETRY_SECONDS = 5.0
"""How long to try to read a lease while the file server is unavailable."""

MACHINE_ID = Path("/etc/machine-id")

T = TypeVar("T")


class Lease:
    """A JSON file about its holder: host, machine, pid, token. Times are those of the file server, never of a host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._token = uuid.uuid4().hex
        self._seen_lost = threading.Event()

    def holder_elsewhere(self, locks: bool = True) -> str | None:
        """The other host that holds the lease; None if it is free, or held on this host, where ``locks`` decide.

        Raises:
            LockedError: the lease cannot be read, or its age cannot be determined.
        """
        holder = self._read_patiently()
        here = holder is not None and holder.get("host") == this_host()
        if holder is None or (here and locks) or not self._renewed_recently():
            return None
        if not here and holder.get("machine") == (this_machine() or ""):  # it has been restarted since
            return None
        return str(holder.get("host"))

    def outlasted(self, locks: bool = True) -> str | None:
        """As ``holder_elsewhere``, once the lease has expired, or is renewed: its holder lives."""
        before = self._patiently(self._version, "its age cannot be determined")
        while (host := self.holder_elsewhere(locks)) is not None:
            if self._patiently(self._version, "its age cannot be determined") != before:
                break
            time.sleep(LEASE_SECONDS / 100)
        return host

    @contextmanager
    def held(self, locks: bool = True) -> Iterator[None]:
        """Take the lease and renew it until the end of the context. The caller holds the lock of this host.

        Args:
            locks: whether it does; without, the lease also excludes other processes on this host.
        Raises:
            LockedError: another host holds it.
        """
        before = self._read_patiently() or {}
        if (host := self.holder_elsewhere(locks)) is not None:
            raise LockedError(f"held by host {host} ({self.path})")
        respected = before.get("host") == this_host() and self._renewed_recently()  # by other hosts
        new = not self.path.exists()
        self._write(new)
        self._remove_leftovers()
        if not new and not respected:  # expired or damaged: two hosts may take it over at the same time
            time.sleep(SETTLE_SECONDS)
            self.check()
        self._seen_lost.clear()
        stop = threading.Event()
        renewing = threading.Thread(target=self._keep_renewing, args=[stop], daemon=True)
        renewing.start()
        try:
            yield
        finally:
            stop.set()
            renewing.join()
            with suppress(OSError):  # it expires
                if self._ours(self._read()):
                    self.path.unlink(missing_ok=True)

    @property
    def seen_lost(self) -> bool:
        """Whether the last renewal found that another process has taken the lease; costs nothing, see ``check``."""
        return self._seen_lost.is_set()

    def check(self) -> None:
        """Raises LockedError if another process has taken the lease, e.g. while this one was suspended, or it is gone.

        Also if the lease cannot be read for ``RETRY_SECONDS``: another process may have taken it.
        """
        holder = self._read_patiently()
        if holder is None and not self.path.exists():
            gone = self.path if self.path.parent.is_dir() else self.path.parent
            raise LockedError(f"{gone} was moved or deleted")
        if not self._ours(holder):
            host = (holder or {}).get("host", "unknown")
            raise LockedError(f"taken over by host {host} ({self.path}) while this process was suspended")

    def _write(self, new: bool) -> None:
        """Write the file atomically; a new one only if no other host has written one since."""
        own = self.path.with_name(f"{self.path.name}.{self._token}")
        write_json(own, {"host": this_host(), "machine": this_machine(), "pid": os.getpid(), "token": self._token})
        try:
            if new:
                _link(own, self.path)
            else:
                own.replace(self.path)
        except (FileExistsError, FileNotFoundError):  # the other host also deletes this one's temporary file
            raise LockedError(f"taken by another host at the same moment ({self.path})") from None
        finally:
            own.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Delete the temporary files of holders that were killed. The caller has just taken the lease."""
        remove_partial(self.path)
        for partial in self.path.parent.glob(f"{glob.escape(self.path.name)}.*"):
            partial.unlink(missing_ok=True)

    def renew(self) -> bool:
        """Renew the lease; False if another process has taken it. Raises OSError if it cannot be read or renewed."""
        if (holder := self._read()) is not None and not self._ours(holder):
            return False
        os.utime(self.path)
        return True

    def _keep_renewing(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_SECONDS):
            with suppress(OSError):  # the file server may be briefly unavailable
                if not self.renew():
                    self._seen_lost.set()
                    return

    def _ours(self, holder: dict[str, Any] | None) -> bool:
        return holder is not None and holder.get("token") == self._token

    def _read(self) -> dict[str, Any] | None:
        """The holder; None if there is no file or it is damaged. Raises OSError if it cannot be read."""
        try:
            content = json.loads(self.path.read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    def _read_patiently(self) -> dict[str, Any] | None:
        return self._patiently(self._read, "cannot be read")

    def _patiently(self, read: Callable[[], T], problem: str) -> T:
        """What ``read`` returns; while it raises OSError, it is repeated for ``RETRY_SECONDS``, then LockedError."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return read()
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise LockedError(f"{self.path}: {problem} ({error.strerror or one_line(error)})") from None
            time.sleep(RETRY_SECONDS / 20)

    def _version(self) -> tuple[int, int] | None:
        """What each renewal and each new holder changes; None if there is no file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _renewed_recently(self) -> bool:
        """False if the file has been deleted. Raises LockedError if its age cannot be determined."""
        return self._patiently(self._is_recent, "its age cannot be determined")

    def _is_recent(self) -> bool:
        try:
            with TemporaryFile(dir=self.path.parent) as file:
                file.write(b"0")
                file.flush()
                now = os.fstat(file.fileno()).st_mtime
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            now = time.time()  # only for the status: who may not write here cannot take the lease either
        try:
            return abs(now - self.path.stat().st_mtime) < LEASE_SECONDS
        except FileNotFoundError:
            return False


def this_host() -> str:
    """Host name, and an id of its kernel's boot, since names are not unique. Containers of one kernel share locks."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip()[:8] if boot.exists() else ''}".strip()


def this_machine() -> str | None:
    """What stays equal when this machine is restarted: host name, installation and network card; None if unknown.

    One of them alone may be equal on several machines, for example in containers of one image.
    """
    try:
        installation = MACHINE_ID.read_text().strip()
    except OSError:
        return None
    return f"{socket.gethostname()} {installation} {uuid.getnode():012x}" if installation else None


def _link(source: Path, target: Path) -> None:
    """Give a file a second name. Raises FileExistsError if the name is taken and the file system has hard links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links, e.g. on exFAT
        source.replace(target)
