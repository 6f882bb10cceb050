"""Signals that stop a command that trains several runs: every run saves a checkpoint, on any machine."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from stargan_lab.console import inform
from stargan_lab.errors import Stopped, ignore_second_hangup, stop_signals

STOP_POLL_SECONDS = 0.5


@contextmanager
def stopping(stop_file: Path) -> Iterator[None]:
    """Make ``stop_signals`` stop every worker, and wait until all have saved.

    After a second signal other than SIGHUP it does not wait.

    Args:
        stop_file: created by the first signal; every worker calls ``interrupt_when`` with it.
    Raises:
        Stopped: at the end, if the jobs were stopped.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        ignore_second_hangup(number)
        if received:
            if number == signal.SIGHUP:
                return
            raise Stopped(number)
        received.append(number)
        stop_file.touch()
        inform("every run saves a checkpoint, then the sweep stops (press Ctrl-C again to stop immediately)")

    stop_file.unlink(missing_ok=True)
    before = {number: signal.signal(number, stop) for number in stop_signals()}
    try:
        yield
        if received:
            raise Stopped(received[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_file.unlink(missing_ok=True)


def interrupt_when(stop_file: Path) -> None:
    """Interrupt this process, as Ctrl-C does, once a file exists; the worker may run on another machine."""
    while not stop_file.exists():
        time.sleep(STOP_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)
