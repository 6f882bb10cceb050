"""Atomic writes, file locks and content hashes."""

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from filelock import FileLock, Timeout

from stargan_lab.errors import ConfigError, LabError, LockedError, StorageError
from stargan_lab.files.partial import process_tag, remove_abandoned

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

P = ParamSpec("P")
T = TypeVar("T")


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call ``write`` on a temporary file beside ``path``, fsync it, and rename it to ``path``.

    If the process dies at any point, readers see either the old file or the new one.

    Raises:
        StorageError: the file cannot be written; the old one, if any, remains.
    """

    def write_and_name(file: BinaryIO) -> Path:
        write(file)
        return path

    write_named(path, write_and_name)


def write_named(path: Path, write: Callable[[BinaryIO], Path | None], replace: bool = True) -> None:
    """``write_atomically`` for a file whose name depends on its content.

    Args:
        path: names the temporary file, for ``remove_partial``.
        write: returns the final path, in the same directory; None discards the file.
        replace: whether an existing file is replaced; otherwise it stays, and this one is discarded.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{process_tag()}.")
        temporary, file = Path(name), _Writer(io.FileIO(descriptor, "wb"))
        try:
            with file:
                if (final := write(file)) is not None:
                    file.flush()
                    os.fsync(file.fileno())
            if final is None or (final.exists() and not replace):
                temporary.unlink(missing_ok=True)
                return
            temporary.chmod(0o644)  # mkstemp creates files that only this user can read
            temporary.replace(final)
            _sync_folder(path.parent)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, Exception) and file.error is not None:
                raise file.error from None
            raise


class _Writer(io.BufferedWriter):
    """Remembers why a write failed: torch replaces the error with one that does not say it."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Raises StorageError if the block cannot write a file; the message names the file of the error, else ``path``."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{error.filename or path}: cannot be written ({error.strerror or error})") from None


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys. Raises ValueError for NaN, which JSON lacks."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises LabError naming the file if it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise LabError(f"{path}: cannot be read as JSON ({error})") from None


@contextmanager
def locked(path: Path, timeout: float = -1, busy: str = "") -> Iterator[bool]:
    """Hold an exclusive lock on ``path`` across processes; the OS releases it if the process dies.

    Yields:
        Whether it is held: False on a file system without locks, e.g. Lustre without the mount option ``flock``.
    Raises:
        LockedError: the lock is not acquired within ``timeout`` seconds (-1: wait forever); ``busy`` is the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _has_locks(path):  # where FileLock would wait for a file that a killed process leaves for ever
        yield False
        return
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise LockedError(busy or f"{path}: locked by another process") from None
    try:
        yield True
    finally:
        lock.release()


def _has_locks(path: Path) -> bool:
    """Whether the file system has locks. Creates the file; unlocking a file that is not locked changes nothing."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    finally:
        os.close(descriptor)
    return True


def make_once(path: Path, make: Callable[[BinaryIO], Any], *others: Path) -> Path:
    """``path``, written atomically by ``make`` unless it exists; concurrent processes wait for the writer.

    Where locks do not reach another host, both may write it; the first file stays.

    Args:
        others: what ``make`` writes besides, to delete the partial files of killed writers.
    """
    if path.exists():
        return path
    with locked(path.with_name(f"{path.name}.lock")) as alone:
        if not path.exists():
            for each in (path, *others):
                remove_abandoned(each, alone)

            def write(file: BinaryIO) -> Path:
                make(file)
                return path

            try:
                write_named(path, write, replace=False)
            except StorageError:
                if not path.exists():  # else another host was faster
                    raise
    return path


def is_locked(path: Path) -> bool | None:
    """Whether ``path`` is locked by another process, or elsewhere in this one.

    None if that cannot be determined: the file system has no locks, or only another user may read the file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: several may check at once
    except (BlockingIOError, PermissionError):
        return True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    finally:
        os.close(descriptor)
    return False


def sha256_bytes(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered(maxsize: int) -> Callable[[Callable[Concatenate[Path, P], T]], Callable[Concatenate[Path, P], T]]:
    """Keeps the last ``maxsize`` results of a function of a file in this process, until the file changes.

    A change is one of the file's size or modification time. Errors are not kept.
    """

    def decorate(read: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
        def read_state(state: tuple[Path, int, int], path: Path, *args: P.args, **kwargs: P.kwargs) -> T:
            return read(path, *args, **kwargs)

        kept: Callable[..., T] = lru_cache(maxsize)(read_state)

        @wraps(read)
        def latest(path: Path, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                status = path.stat()
            except OSError:  # which ``read`` reports
                return read(path, *args, **kwargs)
            return kept((path.resolve(), status.st_size, status.st_mtime_ns), path, *args, **kwargs)

        return latest

    return decorate


def canonical_hash(value: Any) -> str:
    """SHA-256 of ``value`` as compact JSON with sorted keys: equal values have equal hashes."""
    return sha256_bytes([json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()])


def _sync_folder(folder: Path) -> None:
    """Fsync the directory, so that the rename is durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_file_name(name: object) -> bool:
    """Whether a name from a record, such as a run id, is text that names a file or directory in its directory only."""
    return isinstance(name, str) and re.fullmatch(r"(?!\.)[\w.-]+", name) is not None


def existing_parent(folder: Path) -> Path:
    """``folder``, or its nearest existing parent."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def check_writable(key: str, folder: Path) -> None:
    """Raises ConfigError naming ``key`` if ``folder`` cannot be created or written to.

    Writes a file without a name: permissions do not tell, e.g. for root or in ``/proc``.
    """
    parent = existing_parent(folder)
    try:
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(b"0")
    except OSError as error:
        reason = "" if error.errno in (errno.EACCES, errno.ENOENT, errno.ENOTDIR) else f" ({error.strerror})"
        raise ConfigError(f"{key}: cannot write to {folder}: {parent} is not a writable directory{reason}") from None
