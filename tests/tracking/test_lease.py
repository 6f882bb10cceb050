"""One host trains a run at a time, with real processes on what looks like two hosts without common locks."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stargan_lab.errors import LockedError
from stargan_lab.tracking import lease
from stargan_lab.tracking.run_folder import RunFolder

OTHER_HOST = """
import sys
from pathlib import Path
from stargan_lab.errors import LockedError
from stargan_lab.tracking import lease, run_folder
lease.this_host, lease.RENEW_SECONDS = lambda: "other", 0.05
lease.this_machine = lambda: "other machine"
own = run_folder.RunFolder(Path(sys.argv[1]))
own.lock_path = own.path / ".lock-of-the-other-host"
try:
    with own.claim():
        print("held", flush=True)
        sys.stdin.readline()
        own.check_claim()
except LockedError as error:
    print(error, flush=True)
"""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(lease, "RETRY_SECONDS", 0.2)


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true; fails after 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def held_on_another_host(folder: RunFolder) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", OTHER_HOST, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_run_of_another_host_is_respected_while_it_renews(folder: RunFolder) -> None:
    with held_on_another_host(folder) as other:
        time.sleep(1.5)  # longer than a lease lasts without renewals
        assert folder.status() == "running" and folder.in_use()
        with pytest.raises(LockedError, match=rf"^run a1b2 is being trained on host other \(lease: {folder.path}"):
            folder.claim().__enter__()
        other.communicate("done\n")
    assert folder.status() == "planned" and not (folder.path / ".lease").exists()
    with folder.claim():
        folder.check_claim()


def test_stale_lease_is_taken_over(folder: RunFolder) -> None:
    with held_on_another_host(folder) as other:
        other.send_signal(signal.SIGKILL)
    assert folder.status() == "running", "nobody on this host can tell yet"
    time.sleep(1.2)
    assert folder.status() == "planned"
    with folder.claim():
        folder.check_claim()
        assert not RunFolder(folder.path)._lease.holder_elsewhere(), "on this host the lock decides"


def test_a_job_that_is_started_again_outlasts_the_lease_of_its_dead_host(folder: RunFolder) -> None:
    with held_on_another_host(folder) as other:
        other.send_signal(signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(LockedError), folder.claim():
        pass
    with folder.claim(outlast=True):
        folder.check_claim()
    assert 0.5 < time.monotonic() - began < 5


def test_a_job_does_not_wait_for_a_host_that_renews_its_lease(folder: RunFolder) -> None:
    with held_on_another_host(folder):
        began = time.monotonic()
        with pytest.raises(LockedError, match="is being trained on host other"), folder.claim(outlast=True):
            pass
        assert time.monotonic() - began < 0.9, "less than a lease"


def test_suspended_holder_stops_when_its_lease_was_taken(folder: RunFolder) -> None:
    with held_on_another_host(folder) as other:
        other.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        with folder.claim():
            other.send_signal(signal.SIGCONT)
            out, _ = other.communicate("continue\n")
            assert f"run a1b2: taken over by host {lease.this_host()}" in out and out.endswith("stopped\n")
            folder.check_claim()


def test_lease_of_a_killed_process_of_this_host_is_free_at_once(folder: RunFolder) -> None:
    script = OTHER_HOST.replace('lambda: "other"', "lease.this_host")
    with subprocess.Popen([sys.executable, "-c", script, str(folder.path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        process.kill()
    assert (folder.path / ".lease").exists()
    with folder.claim():
        pass


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that identifies the installation."""
    path = tmp_path / "machine-id"
    path.write_text("0123\n")
    monkeypatch.setattr(lease, "MACHINE_ID", path)
    return path


def leave_lease_and_restart(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a lease as a holder does that a power cut ends, on the same host under another boot."""
    path = folder.path / ".lease"
    monkeypatch.setattr(lease, "LEASE_SECONDS", 60.0)
    with folder.claim():
        content = path.read_bytes()
    path.write_bytes(content)
    assert path.stat().st_mtime > time.time() - 30
    monkeypatch.setattr(lease, "this_host", lambda: "this one after a restart")


def test_lease_of_this_machine_before_a_restart_is_free_at_once(
    folder: RunFolder, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_lease_and_restart(folder, monkeypatch)
    assert folder.status() == "planned"
    with folder.claim():
        folder.check_claim()


@pytest.mark.parametrize("differs", ["installation", "no installation", "host name", "network card"])
def test_lease_of_another_machine_is_respected(
    folder: RunFolder, machine: Path, monkeypatch: pytest.MonkeyPatch, differs: str
) -> None:
    """Also if only one of the facts differs, or the machine cannot be identified."""
    if differs == "no installation":
        machine.write_text("")
    leave_lease_and_restart(folder, monkeypatch)
    if differs == "installation":
        machine.write_text("4567\n")
    elif differs == "host name":
        monkeypatch.setattr("socket.gethostname", lambda: "other")
    elif differs == "network card":
        monkeypatch.setattr("uuid.getnode", lambda: 1)
    assert folder.status() == "running"
    with pytest.raises(LockedError, match="is being trained on host"):
        folder.claim().__enter__()


def test_the_next_holder_deletes_what_killed_ones_left(folder: RunFolder) -> None:
    left = [folder.path / name for name in (".lease.0123abcd", "..lease.0123abcd.x8y7z6w5", "..lease.x8y7z6w5")]
    for path in left:
        path.write_text("{")
    with folder.claim():
        assert sorted(path.name for path in folder.path.glob("*lease*")) == [".lease"]


def test_a_temporary_file_that_another_host_deleted_is_its_lease(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        source.unlink()  # by the other host, after it has taken the lease
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(lease, "_link", link)
    with pytest.raises(LockedError, match="taken by another host at the same moment"):
        folder.claim().__enter__()


@pytest.mark.parametrize("seconds", [-86400, 86400])
def test_clocks_that_jump_do_not_hold_a_run_forever(folder: RunFolder, seconds: int) -> None:
    """A modification time far in the past or in the future is that of a dead process."""
    with held_on_another_host(folder) as other:
        other.send_signal(signal.SIGKILL)
    os.utime(folder.path / ".lease", times=(time.time() + seconds,) * 2)
    assert folder.status() == "planned"
    with folder.claim():
        folder.check_claim()


def test_damaged_lease_is_free(folder: RunFolder) -> None:
    for content in ("", "[1]", '{"host"'):
        Path(folder.path / ".lease").write_text(content)
        with folder.claim():
            folder.check_claim()


@pytest.fixture
def unavailable(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The number of times that reading the lease will still fail, as it does while a file server restarts."""
    failures, original = [0.0], Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == ".lease" and failures[0] > 0:
            failures[0] -= 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    return failures


def test_failed_reads_do_not_end_the_renewals(
    folder: RunFolder, unavailable: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    with folder.claim():
        unavailable[0] = 3
        until(lambda: unavailable[0] == 0)
        os.utime(folder.path / ".lease", times=(0, 0))
        until(lambda: (folder.path / ".lease").stat().st_mtime > 0)
        folder.stop_if_lost()
        (folder.path / ".lease").write_text('{"host": "other", "token": "0123"}')
        until(lambda: folder._lease.seen_lost)


def test_failed_reads_are_retried_before_a_takeover_is_reported(folder: RunFolder, unavailable: list[float]) -> None:
    with folder.claim():
        unavailable[0] = 3
        folder.check_claim()
        unavailable[0] = float("inf")
        message = rf"^run a1b2: {folder.path}/\.lease: cannot be read \(Stale file handle\); stopped$"
        with pytest.raises(LockedError, match=message):
            folder.check_claim()
    unavailable[0] = 3
    assert folder.status() == "planned"


def test_a_lease_that_cannot_be_read_is_not_taken_over(folder: RunFolder, unavailable: list[float]) -> None:
    unavailable[0] = float("inf")
    with pytest.raises(LockedError, match=r"\.lease: cannot be read \(Stale file handle\)"):
        folder.claim().__enter__()


HELD = '{"host": "other", "machine": "other machine", "pid": 1, "token": "0123"}'


def fail_to_tell_the_time(monkeypatch: pytest.MonkeyPatch, number: int, times: float = float("inf")) -> None:
    """Let the temporary file whose time is that of the file server fail."""
    failures, original = [times], lease.TemporaryFile

    def made(**options: Any) -> Any:
        if failures[0] <= 0:
            return original(**options)
        failures[0] -= 1
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lease, "TemporaryFile", made)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ESTALE, errno.EIO], ids=["full disk", "no server", "bad disk"])
def test_a_lease_whose_age_is_unknown_is_not_taken_over(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = folder.path / ".lease"
    path.write_text(HELD)
    fail_to_tell_the_time(monkeypatch, number)
    with pytest.raises(LockedError, match=rf"\.lease: its age cannot be determined \({os.strerror(number)}\)"):
        folder.claim().__enter__()
    assert path.read_text() == HELD


def test_the_age_of_a_lease_is_determined_again_after_an_error(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / ".lease").write_text(HELD)
    fail_to_tell_the_time(monkeypatch, errno.ESTALE, times=3)
    assert folder.status() == "running"


@pytest.mark.parametrize(("age", "status"), [(0, "running"), (60, "planned")])
def test_the_status_on_a_read_only_disk_uses_the_clock_of_the_host(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, age: float, status: str
) -> None:
    path = folder.path / ".lease"
    path.write_text(HELD)
    os.utime(path, times=(time.time() - age,) * 2)
    fail_to_tell_the_time(monkeypatch, errno.EROFS)
    began = time.monotonic()
    assert folder.status() == status and time.monotonic() - began < lease.RETRY_SECONDS


def test_a_lease_that_is_deleted_meanwhile_is_free(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    path, original = folder.path / ".lease", lease.TemporaryFile
    path.write_text(HELD)

    def made(**options: Any) -> Any:
        path.unlink()
        return original(**options)

    monkeypatch.setattr(lease, "TemporaryFile", made)
    assert folder.status() == "planned"


@pytest.mark.parametrize("content", ["", '{"host": "other", "token": "0"}', "of this host"])
def test_two_hosts_that_take_over_a_lease_at_the_same_time(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """Whether it is damaged or has expired, the first to write it waits, and finds the other's."""
    path = folder.path / ".lease"
    path.write_text(content if content != "of this host" else json.dumps({"host": lease.this_host()}))
    os.utime(path, times=(0, 0))
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        path.write_text('{"host": "other", "token": "0123"}')

    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(LockedError, match="taken over by host other"):
        folder.claim().__enter__()
    assert waited == [lease.SETTLE_SECONDS]


def test_a_file_system_without_hard_links(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with folder.claim():
        folder.check_claim()
        assert [path.name for path in folder.path.glob(".lease*")] == [".lease"]


def test_evaluation_and_publication_exclude_other_hosts(folder: RunFolder) -> None:
    with held_on_another_host(folder) as other:
        with pytest.raises(LockedError, match=rf"^run a1b2 is in use on host other \(lease: {folder.path}"):
            folder.unused().__enter__()
        other.communicate("done\n")
    with folder.unused():
        folder.check_claim()
        command = [sys.executable, "-c", OTHER_HOST, str(folder.path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("run a1b2 is being trained on host ")
    assert not (folder.path / ".lease").exists()


def test_a_run_whose_directory_is_moved_away_says_so(folder: RunFolder) -> None:
    path = folder.path
    with pytest.raises(LockedError) as moved, folder.claim():
        path.rename(path.with_name("elsewhere"))
        folder.check_claim()
    assert str(moved.value) == f"run a1b2: {path} was moved or deleted; stopped"
    assert not path.exists()
    path.with_name("elsewhere").rename(path)
    (path / ".lease").unlink()
    with pytest.raises(LockedError) as deleted, folder.claim():
        (path / ".lease").unlink()
        folder.check_claim()
    assert str(deleted.value) == f"run a1b2: {path / '.lease'} was moved or deleted; stopped"
