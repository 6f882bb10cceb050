"""Start the processes of one run on this machine. Files connect them, so none of them listens beyond loopback."""

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, PContext, SignalException, api, start_processes

from stargan_lab.config import RunConfig
from stargan_lab.errors import ProcessLost, Stopped
from stargan_lab.runs.build import pick_device
from stargan_lab.training.distributed import LAUNCHER, STOPPING, STORE, check_gpus, restored_handlers

STOP_POLL_SECONDS = 0.1


def train_in_processes(config: RunConfig, arguments: Sequence[str]) -> int:
    """Run ``stargan-lab ARGUMENTS`` in one process per device, as torchrun does; returns the exit code.

    Ctrl-C and SIGTERM are passed on, both as SIGTERM, which prints nothing in a process that has hardly started.
    Processes that have not ended 30 s later, or at a second signal, are killed.

    Args:
        config: what the arguments compose.
    Raises:
        ConfigError: this machine has fewer GPUs than the run needs.
        ProcessLost, Stopped: the processes were killed or stopped, and none has reported it.
    """
    count, stopped = config.trainer.devices, 0
    if pick_device(config).type == "cuda":
        check_gpus(count)
    command = sys.executable, "-P", "-m", "stargan_lab", *arguments  # -P: no file of this directory hides a module
    api.logger.disabled = True  # the processes print what happened
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ",".join(number.name for number in STOPPING)
    with tempfile.TemporaryDirectory(prefix="stargan-lab-") as folder, restored_handlers():  # its mode is 0700
        try:
            started = _start(command, count, Path(folder, "store"))
            try:
                result = started.wait(period=STOP_POLL_SECONDS)
            except SignalException as received:
                stopped = received.sigval
                started.close(signal.SIGTERM)
                result = started.wait(0)
            finally:
                started.close(signal.SIGKILL)
        except SignalException as received:  # while they start, or a second one
            raise Stopped(received.sigval) from None
    failures = result.failures if result else {}
    return exit_code({rank: failure.exitcode for rank, failure in failures.items()}, stopped, count)


def _start(command: Sequence[str], count: int, store: Path) -> PContext:
    """Start a command with the environment of each rank, and this process's output."""
    size = str(count)
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, STORE: str(store), LAUNCHER: str(os.getpid())}
    ranks = {rank: shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)}
    arguments = dict.fromkeys(ranks, tuple(command[1:]))
    return start_processes("train", command[0], arguments, ranks, DefaultLogsSpecs(os.devnull))


def exit_code(codes: Mapping[int, int], stopped: int, count: int) -> int:
    """That of the first process that has reported why it ended, which one that a signal ends does not.

    Args:
        codes: rank -> exit code, negative for a signal, of the processes that failed, in that order.
        stopped: the signal that was passed on to them as SIGTERM; 0 for none.
        count: number of processes.
    Raises:
        ProcessLost, Stopped: none has reported it.
    """
    if reported := [code for code in codes.values() if code > 0]:
        return 128 + stopped if stopped and reported[0] == 128 + signal.SIGTERM else reported[0]
    if codes and stopped:
        raise Stopped(stopped)
    for rank, code in codes.items():
        name = signal.Signals(-code).name
        raise ProcessLost(
            f"process {rank} of {count} was killed by {name}; repeat the command to resume from the last checkpoint"
        )
    return 0
