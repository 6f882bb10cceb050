"""Ctrl-C, SIGTERM and a closed terminal during training: save a checkpoint, stop, and say how to resume."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from stargan_lab.console import inform
from stargan_lab.errors import Interrupted, Stopped, ignore_second_hangup, stop_signals


def stopped_line(step: int, checkpoint: Path) -> str:
    """What a run prints after it has saved and stopped."""
    return f"stopped at step {step}; repeat the command to resume from {checkpoint}"


class StopSignal:
    """Context in which the first of ``stop_signals`` sets ``requested`` to its number, and a second interrupts.

    SIGHUP never does as the second one: a terminal may be closed while a run saves.

    Args:
        repeated: for one of several processes, which what has started them also signals when another one has ended:
            without a message, and a second signal does not interrupt.
    """

    def __init__(self, repeated: bool = False) -> None:
        self.requested = 0
        self._repeated = repeated
        self._saved_step: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # signal handlers exist there only
            self._previous = {number: signal.signal(number, self._request) for number in stop_signals()}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            if signal.getsignal(number) == self._request:
                signal.signal(number, handler)

    @contextmanager
    def at_once(self, step: int) -> Iterator[None]:
        """While nothing is left to save, e.g. in an evaluation after the checkpoint of ``step``, the first signal
        raises Interrupted; no effect if signals are repeated.
        """
        self._saved_step = step
        try:
            if self.requested and not self._repeated:
                raise Interrupted(step, self.requested)
            yield
        finally:
            self._saved_step = None

    def _request(self, number: int, frame: FrameType | None) -> None:
        ignore_second_hangup(number)
        if not self._repeated and self._saved_step is not None:
            raise Interrupted(self._saved_step, number)
        if self.requested and not self._repeated:
            if number == signal.SIGHUP:
                return
            raise Stopped(number)
        self.requested = number
        if self._repeated:
            return
        inform("saving a checkpoint after this step, then stopping (press Ctrl-C again to stop immediately)")
