"""Prefetching: the same batches in the same order, and only those requested."""

import threading
import time

import pytest
import torch
from tiny import TWO, make_batch

from stargan_lab.labels import Batch
from stargan_lab.training.prefetch import prefetched


@pytest.mark.parametrize(("first", "last", "workers"), [(1, 12, 4), (7, 12, 1), (12, 12, 30), (13, 12, 2)])
def test_prefetched_batches_equal_direct_ones_and_no_others_are_loaded(first: int, last: int, workers: int) -> None:
    loaded: list[int] = []

    def uneven(step: int) -> Batch:
        time.sleep(0.02 if step % 3 == 0 else 0)  # a slow batch must not change the order
        loaded.append(step)
        return make_batch(TWO, step)

    with prefetched(uneven, first, last, workers) as batches:
        for step in range(first, last + 1):
            ahead, direct = batches(step), make_batch(TWO, step)
            assert torch.equal(ahead.images, direct.images) and torch.equal(ahead.labels, direct.labels)
            assert ahead.source == direct.source
    assert sorted(loaded) == list(range(first, last + 1))


def test_batches_start_loading_before_they_are_requested() -> None:
    started = threading.Event()

    def batch(step: int) -> Batch:
        if step == 3:
            started.set()
        return make_batch(TWO, step)

    with prefetched(batch, 1, 5, 2) as batches:
        batches(1)
        assert started.wait(10)
        batches(2)


def test_an_error_is_raised_where_its_batch_is_requested() -> None:
    def batch(step: int) -> Batch:
        if step == 3:
            raise OSError("000003.png: broken image")
        return make_batch(TWO, step)

    with pytest.raises(OSError, match=r"000003\.png"), prefetched(batch, 1, 9, 2) as batches:
        for step in range(1, 10):
            batches(step)
            assert step < 3


def test_leaving_early_ends_all_threads() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), prefetched(lambda step: make_batch(TWO, step), 1, 1000, 4) as batches:
        batches(1)
        raise KeyboardInterrupt
    assert threading.active_count() == before
