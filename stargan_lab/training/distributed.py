"""One run trained by several processes; each has a copy of the networks and rows of each batch.

`runs/local_processes.py` starts them on this machine, torchrun on one or several.
All losses are means over images, so the average of the processes' gradients is the gradient of the joint batch. Every
process applies it to equal weights, so the copies stay equal. Control messages are CPU tensors (gloo), which do not
wait for a GPU; gradients on GPUs are averaged by NCCL.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from stargan_lab.errors import ConfigError, Interrupted, LabError, NonFiniteLossError, ProcessLost, ReportedElsewhere

PATIENCE = timedelta(days=1)
"""How long processes wait for one another; the others wait while rank 0 trains an attribute classifier, for example."""

STOPPING = signal.SIGINT, signal.SIGTERM

STORE, LAUNCHER = "STARGAN_LAB_STORE", "STARGAN_LAB_LAUNCHER"
"""Environment variables of the processes that the command itself starts: a file that connects them, and its pid."""

ERROR = "error"  # in the store: the rank of the process that failed first, and its message

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class World:
    """The processes of one run; a single one by default, for which all methods do nothing.

    Attributes:
        rank: number of this process; rank 0 alone writes and prints, except about an error in another one.
        size: number of processes.
        store: what connects them; None for a single one.
    """

    rank: int = 0
    size: int = 1
    store: dist.Store | None = None

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
        """Raises ProcessLost if the communication fails; its message is the first error, if a process has told it."""
        try:
            yield
        except RuntimeError as error:
            _ignore_signals()  # the launcher now stops the others, of which one reports what happened
            ended = f"another of the {self.size} processes has ended; repeat the command to resume"
            raise ProcessLost(_first_error(self.store) or f"{ended} from the last checkpoint") from error


ALONE = World()
_JOINED = ContextVar("joined", default=ALONE)


@contextmanager
def joined(devices: int, on_gpu: bool) -> Iterator[World]:
    """The processes that have been started for a run with ``trainer.devices``; nested contexts are the same one.

    Raises:
        ConfigError: there are not as many processes, or more on this machine than it has GPUs.
        LabError: in one of the processes, which reports it; ReportedElsewhere in the others.
    """
    if (world := _JOINED.get()).size > 1:
        yield world
        return
    check_processes(devices)
    if devices == 1:
        yield ALONE
        return
    on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    if on_this_machine == devices:  # no other machine needs to reach these processes
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    if on_gpu:
        check_gpus(on_this_machine)
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with restored_handlers(), _group(on_gpu) as world:
        try:
            yield world
            world.wait()  # for rank 0, which records
        except Interrupted:
            _wait_for_the_others(world)
            raise
        except LabError as error:
            raise _reported_once(error, world) from error


@contextmanager
def _group(on_gpu: bool) -> Iterator[World]:
    """The group of the processes, which a file connects or a server that torchrun has started."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if path := os.environ.get(STORE):
        store: dist.Store = dist.FileStore(path, size)
        threading.Thread(target=_end_with, args=(int(os.environ[LAUNCHER]), Path(path)), daemon=True).start()
    else:
        store, _, _ = next(dist.rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    joining = _JOINED.set(World(rank, size, store))
    try:
        yield _JOINED.get()
    finally:
        _JOINED.reset(joining)
        dist.destroy_process_group()


def _end_with(launcher: int, store: Path) -> None:
    """End this process once the one that started it was killed, so that the same command can resume immediately."""
    while os.getppid() == launcher:
        time.sleep(0.5)
    with suppress(OSError):  # another process deletes them
        store.unlink()
        store.parent.rmdir()
    os._exit(1)


def _wait_for_the_others(world: World) -> None:
    """The launcher stops all processes once one has ended, so all first finish writing."""
    with suppress(ProcessLost):
        world.wait()


def _reported_once(error: LabError, world: World) -> LabError:
    """The error to raise in this process, so that only one of them prints a line."""
    elsewhere = ReportedElsewhere("another process reports the error")
    if isinstance(error, NonFiniteLossError):  # losses are averaged, so it is raised in all processes
        _wait_for_the_others(world)
        return elsewhere if world.rank else error
    own = world.rank > 0 and not isinstance(error, ProcessLost)
    reported = LabError(f"process {world.rank} of {world.size}: {error}") if own else error
    return reported if _is_first_error(f"{world.rank} {reported}", world.store) else elsewhere


def check_processes(devices: int) -> None:
    """Raises ConfigError unless this is one of as many processes as ``devices``."""
    if (started := int(os.environ.get("WORLD_SIZE", 1))) == devices:
        return
    command = f"stargan-lab train trainer.devices={devices} …"
    if started == 1:
        raise ConfigError(f"trainer.devices={devices} needs {devices} processes; start them with: {command}")
    there = f"torchrun has started {started} processes; set trainer.devices={started}"
    raise ConfigError(f"trainer.devices={devices}, but {there}" + (f", or use: {command}" if devices > 1 else ""))


def check_gpus(processes: int) -> None:
    """Raises ConfigError if this machine has fewer GPUs than ``processes``."""
    if processes > (count := torch.cuda.device_count()):
        raise ConfigError(f"trainer.devices: {processes} processes need {processes} GPUs, but this machine has {count}")


def _is_first_error(line: str, store: dist.Store | None) -> bool:
    """Whether no other process has failed before; the others can read the line."""
    with suppress(RuntimeError):  # the store has ended with the launcher
        return store is None or store.compare_set(ERROR, "", line).decode() == line
    return True


def _first_error(store: dist.Store | None) -> str:
    """What the process that failed first reports; empty if it was killed."""
    with suppress(RuntimeError):
        return store.get(ERROR).decode().partition(" ")[2] if store is not None and store.check([ERROR]) else ""
    return ""


def _ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def restored_handlers() -> Iterator[None]:
    """Context after which Ctrl-C and SIGTERM are handled as before."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)
