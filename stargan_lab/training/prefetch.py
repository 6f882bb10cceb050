"""Loads batches ahead in threads. A batch is a pure function of its step, so prefetching does not change it."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from stargan_lab.labels import Batch


@contextmanager
def prefetched(batch: Callable[[int], Batch], first: int, last: int, workers: int) -> Iterator[Callable[[int], Batch]]:
    """A replacement for ``batch`` that loads the next ``workers`` steps in threads.

    Args:
        first, last: range of steps that will be requested, in order.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        ahead: deque[Future[Batch]] = deque(
            pool.submit(batch, step) for step in range(first, min(first + workers, last + 1))
        )

        def take(step: int) -> Batch:
            if step + workers <= last:
                ahead.append(pool.submit(batch, step + workers))
            return ahead.popleft().result()

        try:
            yield take
        finally:
            for future in ahead:
                future.cancel()
