"""Batches made ahead of time. A batch is a pure function of its step, so who makes it when cannot matter."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from stargan_lab.labels import Batch


@contextmanager
def prefetched(batch: Callable[[int], Batch], first: int, last: int, workers: int) -> Iterator[Callable[[int], Batch]]:
    """A stand-in for ``batch`` that keeps ``workers`` of the next steps under way in threads.

    Args:
        first, last: the steps that will be asked for, in order.
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
