"""What this machine has for a configuration: libraries, devices, precision worth using, threads, disk."""

import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Literal

from stargan_lab.config import RunConfig
from stargan_lab.config.identity import thread_count
from stargan_lab.files import can_be_written, existing_parent
from stargan_lab.runs.provenance import environment, git_commit

LIBRARIES = ("torch", "torchvision", "hydra-core", "omegaconf", "mlflow", "pytorch-fid")
GIB = 2**30
LOW_DISK, SCARCE_DISK = 1 * GIB, 5 * GIB
"""Below the first a run is likely to fail, below the second a sweep is."""

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line on one thing.

    Attributes:
        level: ``problem`` keeps the configuration from running, ``note`` is worth knowing.
        do: a command that changes it, with what it does behind a ``#``.
    """

    level: Level
    about: str
    text: str
    do: str = ""


def versions() -> Iterator[Finding]:
    yield Finding(
        "ok", "versions", f"stargan-lab {version('stargan-lab')} (commit {git_commit()}), python {python_version()}"
    )
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("ok", "libraries", ", ".join(found))
    if missing:
        yield Finding("problem", "libraries", f"not installed: {', '.join(missing)}; install stargan-lab again")


def devices(config: RunConfig) -> Iterator[Finding]:
    import torch

    cores, memory = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("ok", "CPU", f"{environment('cpu')['machine']}: {cores} cores, {memory / GIB:.0f} GiB of memory")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own words on a driver it cannot use
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", "GPU", f"cuda:{index} {properties.name}, {properties.total_memory / GIB:.0f} GiB")
    wanted = config.trainer.device
    if not count:
        why = "torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU or driver answers"
        text = f"none: {why}"
        asks = wanted.startswith("cuda")
        advice = f"; trainer.device={wanted} cannot run, use auto or cpu" if asks else "; runs use the CPU"
        yield Finding("problem" if asks else "note", "GPU", text + advice)
    elif int(wanted.partition(":")[2] or 0) >= count:
        yield Finding("problem", "GPU", f"trainer.device={wanted}, but the last one is cuda:{count - 1}")
    yield _precision(config, on_gpu=bool(count) and wanted != "cpu")
    threads = thread_count(config)
    most = f"{cores} cores; more threads than cores slow each other down" if threads > cores else f"{cores} cores"
    yield Finding("note" if threads > cores else "ok", "threads", f"{threads} on {most}")


def _precision(config: RunConfig, on_gpu: bool) -> Finding:
    """Whether bfloat16 is computed by the hardware; elsewhere it is emulated and slower than float32."""
    import torch

    asked = config.trainer.precision
    fast = torch.cuda.get_device_capability() >= (8, 0) if on_gpu else bool(cpu_bfloat16())
    where = "this GPU" if on_gpu else "this CPU"
    if fast:
        how = "" if on_gpu else f" ({', '.join(cpu_bfloat16())})"
        advice = "" if asked == "bfloat16" else "; trainer.precision=bfloat16 is worth a try"
        return Finding("ok", "precision", f"{asked}; {where} computes bfloat16{how}{advice}")
    if asked == "bfloat16":
        return Finding("note", "precision", f"bfloat16, which {where} emulates slowly; float32 is quicker here")
    return Finding("ok", "precision", f"{asked}; {where} has no bfloat16, so leave it")


def cpu_bfloat16() -> list[str]:
    """The CPU's instruction sets for bfloat16, by their Linux names."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return sorted({"avx512_bf16", "amx_bf16"} & flags)


def disk(outputs: Path) -> Iterator[Finding]:
    if not can_be_written(outputs):
        yield Finding("problem", "outputs", f"{outputs}: cannot be written; set paths.outputs to another folder")
        return
    free = shutil.disk_usage(existing_parent(outputs)).free
    text = f"{outputs.absolute()}: {free / GIB:.1f} GiB free"
    if free < LOW_DISK:
        yield Finding("problem", "outputs", f"{text}; make room, or set paths.outputs to another disk")
    else:
        yield Finding("note" if free < SCARCE_DISK else "ok", "outputs", text)
