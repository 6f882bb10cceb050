"""Signals that stop a command that trains several runs: every run saves a checkpoint, on any machine."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        stop_file: created by the first signal; every worker runs its job in ``interrupted_by`` it.
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
        inform("runs in training save a checkpoint, then the sweep stops (press Ctrl-C again to stop immediately)")

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


@contextmanager
def interrupted_by(stop_file: Path) -> Iterator[None]:
    """Context that is interrupted, as by Ctrl-C, once a file exists; the worker may run on another machine.

    What follows the context is not interrupted: it sends the result of the job.
    """
    # background commands of shell scripts ignore SIGINT, and so do their workers
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = threading.Event()
    watching = threading.Thread(target=_interrupt, args=(stop_file, ended), daemon=True)
    watching.start()
    try:
        yield
    finally:
        with suppress(KeyboardInterrupt):  # the job has ended
            ended.set()
            watching.join()
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(stop_file: Path, ended: threading.Event) -> None:
    while not stop_file.exists():
        if ended.wait(STOP_POLL_SECONDS):
            return
    if not ended.is_set():
        os.kill(os.getpid(), signal.SIGINT)
