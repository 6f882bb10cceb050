"""File systems whose locks do not reach other hosts, or that have none: hosts share caches and runs unharmed."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from stargan_lab import files
from stargan_lab.data.fingerprints import PackCache
from stargan_lab.data.options import ImageOptions
from stargan_lab.data.synthfaces.spec import SynthSpec, read_spec
from stargan_lab.data.synthfaces.writer import make_synthfaces
from stargan_lab.errors import LockedError, StorageError
from stargan_lab.files import locked, make_once
from stargan_lab.files.partial import ABANDONED_SECONDS, abandoned, machine_tag
from stargan_lab.tracking import lease
from stargan_lab.tracking.run_folder import RunFolder

NO_LOCKS = [errno.ENOSYS, errno.ENOTSUP]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread is another host, and holds locks that the others do not see."""

    @contextmanager
    def unseen(*_: object, **__: object) -> Iterator[bool]:
        yield True

    monkeypatch.setattr(files.partial, "machine_tag", lambda: threading.current_thread().name)
    monkeypatch.setattr(files, "locked", unseen)


@pytest.fixture(params=NO_LOCKS, ids=[errno.errorcode[number] for number in NO_LOCKS])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


def together(act: Callable[[], Any], count: int = 3) -> list[Any]:
    """What ``act`` returns or raises on each of several hosts that start one after another."""
    results: list[Any] = []

    def keep() -> None:
        try:
            results.append(act())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=keep, name=f"{number:08}") for number in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    return results


def slowly(file: BinaryIO) -> None:
    file.write(threading.current_thread().name.encode())
    file.flush()
    time.sleep(0.3)


@pytest.mark.usefixtures("hosts")
def test_the_first_of_several_hosts_writes_a_cache_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    assert together(lambda: make_once(path, slowly).read_bytes()) == [b"00000000"] * 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_cache_file_of_another_host_counts_if_the_own_one_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"

    def lose(file: BinaryIO, other: bool) -> None:
        for partial in tmp_path.glob(".x.npy.*"):
            partial.unlink()
        if other:
            path.write_bytes(b"of the other host")
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with pytest.raises(StorageError):
        make_once(path, lambda file: lose(file, other=False))
    assert make_once(path, lambda file: lose(file, other=True)).read_bytes() == b"of the other host"


@pytest.mark.usefixtures("hosts")
def test_several_hosts_pack_the_same_images(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((64, 64, 3), number, np.uint8)).save(tmp_path / name)
    cache, options = PackCache(tmp_path / "cache"), ImageOptions(None, 32, False)
    hashes = together(lambda: cache.hash_split(tmp_path, names, options, "reading"), 4)
    assert [each.digest for each in hashes] == [hashes[0].digest] * 4
    assert np.load(cache.path(hashes[0].digest, options)).shape == (60, 3, 32, 32)
    assert not list((tmp_path / "cache").glob("*/.*"))


@pytest.mark.usefixtures("hosts")
def test_several_hosts_render_the_same_faces(tmp_path: Path) -> None:
    root, spec = tmp_path / "faces", SynthSpec(size=32, train=300, valid=3, test=5, seed=4, difficulty=1.0)
    assert together(lambda: make_synthfaces(root, spec)) == [None] * 3
    assert read_spec(root) == spec
    assert list(tmp_path.iterdir()) == [root]


def test_partial_files_of_another_machine_are_deleted_only_when_old(tmp_path: Path) -> None:
    tags = (f"{machine_tag()}-0", f"{machine_tag()}-{os.getpid()}", "other-0", "other-0")
    own, alive, live, old = (tmp_path / f".x.npy.{tag}.{number}" for number, tag in enumerate(tags))
    for path in (own, alive, live, old):
        path.touch()
    past = time.time() - ABANDONED_SECONDS - 60
    os.utime(old, times=(past, past))
    assert abandoned([own, alive, live, old], alone=True) == [own, old]
    assert abandoned([own, alive, live, old], alone=False) == [old], "processes in other containers are not seen"
    make_once(tmp_path / "x.npy", lambda file: file.write(b"x"))
    assert {path.name for path in tmp_path.glob(".*")} == {alive.name, live.name}


KILLED = """
import os, signal, sys
from pathlib import Path
from stargan_lab.files import make_once
make_once(Path(sys.argv[1]), lambda file: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_the_partial_file_of_a_killed_process_is_deleted_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert len(list(tmp_path.glob(".x.npy.*"))) == 1
    make_once(path, lambda file: file.write(b"x"))
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.usefixtures("no_locks")
def test_caches_without_locks(tmp_path: Path) -> None:
    """filelock would fall back to a file that a killed process leaves for ever."""
    path = tmp_path / "x.npy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with locked(tmp_path / "x.npy.lock", timeout=0) as alone:
            assert not alone
            assert make_once(path, lambda file: file.write(b"x")).read_bytes() == b"x"
    with locked(tmp_path / "x.npy.lock", timeout=0):
        pass


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "a1b2")
    folder.path.mkdir(parents=True)
    return folder


@pytest.mark.usefixtures("no_locks")
def test_the_lease_decides_without_locks(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between processes of one host, too; a killed one's lease expires."""
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.1)
    assert folder.status() == "planned"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with folder.claim():
            content = folder.path.joinpath(".lease").read_bytes()
            assert folder.status() == "running"
            with pytest.raises(LockedError, match=rf"^run a1b2 is being trained on host {lease.this_host()} \(lease: "):
                RunFolder(folder.path).claim().__enter__()
        assert folder.status() == "planned"
        folder.path.joinpath(".lease").write_bytes(content)  # as a killed process leaves it
        assert folder.status() == "running"
        monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
        assert folder.status() == "planned"
        with folder.claim():
            folder.check_claim()


def test_a_lock_file_that_only_another_user_may_read(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read all files, so the error is simulated."""
    opened = os.open

    def refuse(path: Any, *options: Any, **named: Any) -> int:
        if path == folder.lock_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *options, **named)

    folder.write_result({"status": "interrupted", "metrics": {}})
    with folder.claim(), monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert folder.status() == "running"
        folder.path.joinpath(".lease").unlink()
        assert folder.status() == "interrupted"
