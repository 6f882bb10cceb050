"""Processes that work together as those do which torchrun starts."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing import get_context

SIZE = 2


def run_ranks(work: Callable[..., None], *arguments: Any) -> None:
    """Call ``work(rank, *arguments)`` in ``SIZE`` new processes with one CPU thread each; all must succeed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("spawn")
    running = [context.Process(target=_run, args=(rank, port, work, arguments)) for rank in range(SIZE)]
    for process in running:
        process.start()
    for process in running:
        process.join(240)
        assert process.exitcode == 0


def _run(rank: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(SIZE), "LOCAL_WORLD_SIZE": str(SIZE), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    work(rank, *arguments)
