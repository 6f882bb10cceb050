"""A worker of a sweep is interrupted while it runs its job, and at no other time."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from stargan_lab.cli import job_signals
from stargan_lab.cli.job_signals import interrupted_by


@pytest.fixture
def stop_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job_signals, "STOP_POLL_SECONDS", 0.01)
    return tmp_path / "stopped"


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_a_job_is_interrupted(stop_file: Path, handler: signal.Handlers) -> None:
    """Also as the worker of a command in the background of a shell script, which ignores SIGINT."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupted_by(stop_file):
            stop_file.touch()
            time.sleep(10)
            pytest.fail("not interrupted")
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_job_that_ends_when_it_is_interrupted_has_ended(stop_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupting, kill = threading.Event(), os.kill

    def late(pid: int, number: int) -> None:
        interrupting.set()
        time.sleep(0.05)
        kill(pid, number)

    monkeypatch.setattr(os, "kill", late)
    with interrupted_by(stop_file):
        stop_file.touch()
        assert interrupting.wait(10)
