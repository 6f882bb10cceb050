"""Time and memory of a training step."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory so far, in MiB: of the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB


class StepTimer:
    """Times steps: call ``tick`` after each; time inside ``paused`` does not count."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds: list[float] = []
        self._read = 0

    def tick(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._seconds.append(now - self._last)
        self._last = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._last = None

    def metrics(self, batch_size: int) -> dict[str, float]:
        """Mean step time and throughput since the last call; empty when no step was timed."""
        recent, self._read = self._seconds[self._read :], len(self._seconds)
        if not recent:
            return {}
        mean = sum(recent) / len(recent)
        return {"speed/seconds_per_step": mean, "speed/images_per_second": batch_size / mean}

    def median(self) -> float | None:
        """Median step time in seconds; None before the second step."""
        return median(self._seconds) if self._seconds else None
