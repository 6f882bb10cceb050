"""What a person at the terminal sees of a run: a bar with rate and time left, and a line per logging interval."""

import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm


def say(text: str) -> None:
    """One line on the terminal, above a bar if there is one."""
    tqdm.write(text, file=sys.stderr)


def short_duration(seconds: float) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def headline(name: str, identity: str, folder: Path) -> str:
    """Opening line of a run: its name, its id, and where its files go."""
    return f"{name}  ·  run {identity}  ·  {folder}"


def closing(name: str, result: Mapping[str, Any], folder: Path) -> str:
    """Closing lines of a finished run: its scores, where everything is, what to do next."""
    overall = {k.removeprefix("eval/"): v for k, v in result["metrics"].items() if k.count("/") == 1}
    scores = "  ".join(f"{name} {value:.3f}" for name, value in overall.items())
    return (
        f"{name}  finished in {short_duration(result['seconds'])}: {scores}\n"
        f"written to {folder} (samples/ are worth a look); next: stargan-lab ui{elsewhere(folder.parent.parent)}"
    )


def elsewhere(outputs: Path) -> str:
    """What the next command needs to find runs that are not in the usual place."""
    return "" if outputs == Path("outputs") else f" --outputs {outputs}"


class Progress:
    """Progress of one run, from step ``start`` to ``total``. The bar is for terminals only, the lines for all."""

    def __init__(self, name: str, start: int, total: int) -> None:
        self.name, self.start, self.step, self.total = name, start, start, total
        self._began = time.perf_counter()
        self._bar = tqdm(
            desc=name,
            total=total,
            initial=start,
            unit="step",
            leave=False,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def advance(self, step: int) -> None:
        self._bar.update(step - self.step)
        self.step = step

    def line(self, values: dict[str, float]) -> None:
        """Losses, rate and time left."""
        elapsed = time.perf_counter() - self._began
        rate = (self.step - self.start) / max(elapsed, 1e-9)
        left = short_duration((self.total - self.step) / max(rate, 1e-9))
        width = len(str(self.total))
        terms = {n.removeprefix("loss/"): v for n, v in values.items() if n.startswith("loss/") and n.count("/") == 1}
        losses = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        say(f"{self.name}  step {self.step:>{width}}/{self.total}  {losses}  {rate:.1f} steps/s  {left} left")

    def close(self) -> None:
        self._bar.close()


class StopSignal:
    """Within it, Ctrl-C and SIGTERM set ``asked``; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # elsewhere signals are the caller's business
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("stopping after this step with a checkpoint (again to stop at once)")
