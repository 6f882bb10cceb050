"""Terminal output of a run: a progress bar, a line per logging interval, and the messages at start and end."""

import errno
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import RLock
from typing import Any

from tqdm import tqdm

tqdm.set_lock(RLock())  # its default is a semaphore of the system, which a killed process leaves behind

_QUIET = ContextVar("quiet", default=False)


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Context without progress bars and without ``inform`` if ``quiet``; otherwise nothing changes."""
    token = _QUIET.set(quiet or _QUIET.get())
    try:
        yield
    finally:
        _QUIET.reset(token)


def is_alone() -> bool:
    """Whether this is not one of several processes of a run."""
    return os.environ.get("WORLD_SIZE", "1") == "1"


def is_first_process() -> bool:
    """False in those of several processes of a run that leave printing to the first one."""
    return is_alone() or os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a result, warning or error to stderr, above a progress bar if there is one.

    Nothing is printed once the terminal is closed or the reader of a pipe has ended: a run must be able to save.
    """
    if not is_first_process():
        return
    try:
        tqdm.write(text, file=sys.stderr)
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EPIPE):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def inform(text: str) -> None:
    """``say`` something that ``quiet=true`` hides: progress, notes and suggestions."""
    if not _QUIET.get():
        say(text)


def bar(title: str, total: int | None, unit: str = "it", start: int = 0, shown: bool = True, **options: Any) -> Any:
    """A tqdm bar from ``start`` to ``total`` that is cleared at its end, only if stderr is a terminal.

    Args:
        shown: False for no bar. There is none either in ``quietly`` or with TQDM_DISABLE, which tqdm itself ignores
            if ``disable`` is passed.
        options: further ones of tqdm.
    """
    hidden = not shown or not is_first_process() or _QUIET.get() or bool(os.environ.get("TQDM_DISABLE"))
    disable = True if hidden else None
    return tqdm(desc=title, total=total, initial=start, unit=unit, leave=False, disable=disable, **options)


def short_duration(seconds: float) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def say_finished(name: str, seconds: float, scores: Sequence[str], folder: Path) -> None:
    """Print a finished run's scores, such as ``edit 0.431``, where its samples are, and the next command."""
    say(f"{name}  finished in {short_duration(seconds)}: {'  '.join(scores)}")
    inform(f"samples: {folder / 'samples'}; next: stargan-lab ui{outputs_flag(folder.parent.parent)}")


def outputs_flag(outputs: Path) -> str:
    """`` --outputs DIR`` for a suggested command, or an empty string for the default directory."""
    return "" if outputs == Path("outputs") else f" --outputs {shlex.quote(str(outputs))}"


class Progress:
    """Progress of one run from step ``start`` to ``total``: log lines, and a bar if stderr is a terminal."""

    def __init__(self, name: str, start: int, total: int) -> None:
        self.name, self.start, self.step, self.total = name, start, start, total
        self._began = time.perf_counter()
        self._bar = bar(name, total, "step", start, dynamic_ncols=True)

    def advance(self, step: int) -> None:
        self._bar.update(step - self.step)
        self.step = step

    def line(self, values: dict[str, float]) -> None:
        """Print losses, steps per second and time left."""
        elapsed = time.perf_counter() - self._began
        rate = (self.step - self.start) / max(elapsed, 1e-9)
        left = short_duration((self.total - self.step) / max(rate, 1e-9))
        width = len(str(self.total))
        terms = {n.removeprefix("loss/"): v for n, v in values.items() if n.startswith("loss/") and n.count("/") == 1}
        losses = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        inform(f"{self.name}  step {self.step:>{width}}/{self.total}  {losses}  {rate:.1f} steps/s  {left} left")

    def close(self) -> None:
        self._bar.close()


def rounded_duration(seconds: float) -> str:
    """Two digits are enough for an estimate: ``40 s``, ``4 min``, ``2 h 10 min``."""
    if seconds < 95:
        return f"{max(10 * round(seconds / 10), 10)} s"
    return f"{round(seconds / 60)} min" if seconds < 3570 else short_duration(600 * round(seconds / 600))
