"""Batches made ahead: the same ones in the same order, and none that nobody asks for."""

import threading
import time

import pytest
import torch
from tiny import TWO, make_batch

from stargan_lab.labels import Batch
from stargan_lab.training.prefetch import prefetched


@pytest.mark.parametrize("workers", [1, 2, 5, 30])
@pytest.mark.parametrize(("first", "last"), [(1, 12), (7, 12), (12, 12)])
def test_the_same_batches_as_direct(first: int, last: int, workers: int) -> None:
    with prefetched(lambda step: make_batch(TWO, step), first, last, workers) as batches:
        for step in range(first, last + 1):
            ahead, direct = batches(step), make_batch(TWO, step)
            assert torch.equal(ahead.images, direct.images) and torch.equal(ahead.labels, direct.labels)
            assert ahead.source == direct.source


def test_the_slowest_does_not_change_the_order() -> None:
    def uneven(step: int) -> Batch:
        time.sleep(0.02 if step % 3 == 0 else 0)
        return make_batch(TWO, step)

    with prefetched(uneven, 1, 12, 4) as batches:
        assert all(torch.equal(batches(step).images, make_batch(TWO, step).images) for step in range(1, 13))


@pytest.mark.parametrize(("first", "last", "workers"), [(1, 12, 2), (11, 12, 4), (12, 12, 3), (13, 12, 2)])
def test_only_the_steps_announced_are_made(first: int, last: int, workers: int) -> None:
    made: list[int] = []

    def batch(step: int) -> Batch:
        made.append(step)
        return make_batch(TWO, step)

    with prefetched(batch, first, last, workers) as batches:
        for step in range(first, last + 1):
            batches(step)
    assert sorted(made) == list(range(first, last + 1))


def test_batches_are_under_way_before_they_are_asked_for() -> None:
    started = threading.Event()

    def batch(step: int) -> Batch:
        if step == 3:
            started.set()
        return make_batch(TWO, step)

    with prefetched(batch, 1, 5, 2) as batches:
        batches(1)
        assert started.wait(10)
        batches(2)


def test_a_failure_comes_up_where_the_batch_is_asked_for() -> None:
    def batch(step: int) -> Batch:
        if step == 3:
            raise OSError("000003.png: broken image")
        return make_batch(TWO, step)

    with pytest.raises(OSError, match=r"000003\.png"), prefetched(batch, 1, 9, 2) as batches:
        for step in range(1, 10):
            batches(step)
            assert step < 3


def test_leaving_early_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), prefetched(lambda step: make_batch(TWO, step), 1, 1000, 4) as batches:
        batches(1)
        raise KeyboardInterrupt
    assert threading.active_count() == before
