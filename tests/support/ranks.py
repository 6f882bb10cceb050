"""Processes that work together as those do which ``train`` starts."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing import get_context

from stargan_lab.training.distributed import LAUNCHER, STORE

SIZE = 2


def run_ranks(work: Callable[..., None], *arguments: Any) -> None:
    """Call ``work(rank, *arguments)`` in ``SIZE`` new processes with one CPU thread each; all must succeed."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store"
        running = [context.Process(target=_run, args=(rank, store, work, arguments)) for rank in range(SIZE)]
        for process in running:
            process.start()
        for process in running:
            process.join(240)
            assert process.exitcode == 0


def _run(rank: int, store: str, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(SIZE), "LOCAL_WORLD_SIZE": str(SIZE), "LOCAL_RANK": str(rank)}
    os.environ |= {STORE: store, LAUNCHER: str(os.getppid())}
    torch.set_num_threads(1)
    work(rank, *arguments)
