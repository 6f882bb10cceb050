"""Time and memory of a training step."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory so far, in MiB: of the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB


class StepTimer:
    """Times steps: call ``tick`` after each and ``metrics`` at intervals; time inside ``paused`` does not count.

    A GPU computes a step some time after it was launched, and the generator is updated in some steps only. So what is
    timed is an interval, at whose ends the device has finished, and not a single step.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._since: float | None = None  # the first step is not timed: it compiles, loads libraries or chooses kernels
        self._seconds, self._steps = 0.0, 0
        self._intervals: list[tuple[float, int]] = []

    def tick(self) -> None:
        if self._since is None:
            self._since = self._now()
        else:
            self._steps += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._count()
        try:
            yield
        finally:
            self._since = None if self._since is None else self._now()

    def metrics(self, batch_size: int) -> dict[str, float]:
        """Mean step time and throughput since the last call; empty when no step was timed."""
        self._count()
        if not self._steps:
            return {}
        mean = self._seconds / self._steps
        self._intervals.append((self._seconds, self._steps))
        self._seconds, self._steps = 0.0, 0
        return {"speed/seconds_per_step": mean, "speed/images_per_second": batch_size / mean}

    def seconds_per_step(self) -> float | None:
        """Mean step time in seconds, up to the last call of ``metrics``; None when no step was timed until then.

        The first interval, with warm-up, does not count if the others have at least as many steps.
        """
        warm = self._intervals[1:]
        if sum(steps for _, steps in warm) < sum(steps for _, steps in self._intervals[:1]):
            warm = self._intervals
        return sum(seconds for seconds, _ in warm) / sum(steps for _, steps in warm) if warm else None

    def _count(self) -> None:
        """Add the time since the last call, or since the end of a pause, to the interval."""
        if self._since is not None:
            now = self._now()
            self._seconds += now - self._since
            self._since = now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
