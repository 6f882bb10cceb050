"""One run trained by several processes, which torchrun starts; each has a copy of the networks and rows of each batch.

All losses are means over images, so the average of the processes' gradients is the gradient of the joint batch. Every
process applies it to equal weights, so the copies stay equal. Control messages are CPU tensors (gloo), which do not
wait for a GPU; gradients on GPUs are averaged by NCCL.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from stargan_lab.errors import ConfigError, Interrupted, LabError, NonFiniteLossError, ProcessLost, ReportedElsewhere

PATIENCE = timedelta(days=1)
"""How long processes wait for one another; the others wait while rank 0 trains an attribute classifier, for example."""

STOPPING = signal.SIGINT, signal.SIGTERM

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class World:
    """The processes of one run; a single one by default, for which all methods do nothing.

    Attributes:
        rank: number of this process; rank 0 alone writes and prints, except about an error in another one.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch, whose size is a multiple of ``size``."""
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device by their means over all processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._reduce(flat, dist.ReduceOp.SUM)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def largest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value)
        self._reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def wait(self) -> None:
        """Return once all processes have called this."""
        self.largest(0)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Like the built-in ``map``, with ``size`` items at a time, one in each process.

        All processes must iterate to the end. Rank 0 gets all results, in order; the others get none. Results must be
        picklable. They are sent after every ``size`` items, so that rank 0 holds no more at a time.
        """
        for start in range(0, len(items), self.size):
            own = items[start + self.rank : start + self.rank + 1]  # may be empty at the end
            yield from self._gather([function(item) for item in own])

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the context in rank 0 first, which fills caches and reports errors, then in the others."""
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()

    def _reduce(self, tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> None:
        with self._noticing_losses():
            dist.all_reduce(tensor, operation)

    def _gather(self, results: list[R]) -> list[R]:
        """The results of all processes, in the order of ranks, in rank 0; nothing in the others."""
        if self.size == 1:
            return results
        gathered: list[Any] | None = None if self.rank else [None] * self.size
        with self._noticing_losses():
            dist.gather_object(results, gathered)
        return [result for of_rank in gathered or () for result in of_rank]

    @contextmanager
    def _noticing_losses(self) -> Iterator[None]:
        """Raises ProcessLost if the communication fails."""
        try:
            yield
        except RuntimeError as error:
            _ignore_signals()  # torchrun now stops the remaining processes, of which one reports what happened
            raise ProcessLost(
                f"another of the {self.size} processes has ended; repeat the command to resume from the last checkpoint"
            ) from error


ALONE = World()


@contextmanager
def joined(devices: int, on_gpu: bool) -> Iterator[World]:
    """The processes that torchrun has started for a run with ``trainer.devices``; nested contexts are the same one.

    Raises:
        ConfigError: torchrun has not started as many processes, or has started more than this machine has GPUs.
        LabError: in one of the processes, which reports it; ReportedElsewhere in the others.
    """
    if dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size())
        return
    check_processes(devices)
    if devices == 1:
        yield ALONE
        return
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    if on_this_machine == devices:  # no other machine needs to reach these processes
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if on_gpu:
        if on_this_machine > (count := torch.cuda.device_count()):
            raise ConfigError(f"trainer.devices: torchrun has started {on_this_machine} processes for {count} GPUs")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with _restored_handlers(), _group(on_gpu) as (world, store):
        try:
            yield world
            world.wait()  # for rank 0, which records
        except Interrupted:
            _wait_for_the_others(world)
            raise
        except LabError as error:
            raise _reported_once(error, world, store) from error


@contextmanager
def _group(on_gpu: bool) -> Iterator[tuple[World, dist.Store]]:
    """The group of the processes that torchrun has started, and the store it keeps for them."""
    store, rank, size = next(dist.rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(rank, size), store
    finally:
        dist.destroy_process_group()


def _wait_for_the_others(world: World) -> None:
    """Torchrun stops all processes once one has ended, so all first finish writing."""
    with suppress(ProcessLost):
        world.wait()


def _reported_once(error: LabError, world: World, store: dist.Store) -> LabError:
    """The error to raise in this process, so that only one of them prints a line."""
    if isinstance(error, NonFiniteLossError):  # losses are averaged, so it is raised in all processes
        _wait_for_the_others(world)
        reported = world.rank == 0
    else:
        reported = _is_first_error(store)
    if not reported:
        return ReportedElsewhere("another process reports the error")
    own = world.rank > 0 and not isinstance(error, ProcessLost)
    return LabError(f"process {world.rank} of {world.size}: {error}") if own else error


def check_processes(devices: int) -> None:
    """Raises ConfigError unless torchrun has started one process per device, or none for one device."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started == devices:
        return
    command = f"torchrun --standalone --nproc-per-node {devices} -m stargan_lab train trainer.devices={devices} …"
    if started == 1:
        raise ConfigError(f"trainer.devices={devices} needs {devices} processes; start them with: {command}")
    raise ConfigError(
        f"trainer.devices={devices}, but torchrun has started {started} processes; set trainer.devices={started}"
        + (f", or use: {command}" if devices > 1 else "")
    )


def _is_first_error(store: dist.Store) -> bool:
    """Whether no other process has failed before."""
    try:
        return bool(store.add("errors", 1) == 1)
    except RuntimeError:  # torchrun, which holds the store, has ended
        return True


def _ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def _restored_handlers() -> Iterator[None]:
    """Context after which signals that ``_ignore_signals`` ignores are handled as before."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is signal.SIG_IGN and handler is not None:
                signal.signal(number, handler)
