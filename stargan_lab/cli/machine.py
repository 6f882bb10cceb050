"""``doctor`` checks of the machine: libraries, devices, precision, threads, disk."""

import os
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

import torch

from stargan_lab.cli.doctor import Finding
from stargan_lab.config import RunConfig
from stargan_lab.config.identity import thread_count
from stargan_lab.files import can_be_written, existing_parent
from stargan_lab.runs.provenance import environment, git_commit

LIBRARIES = ("torch", "torchvision", "hydra-core", "omegaconf", "mlflow", "pytorch-fid")
GIB = 2**30
RUN_SPACE, SWEEP_SPACE = 1 * GIB, 5 * GIB
"""Free disk space below which a run, or a sweep, is likely to fail."""


def versions() -> Iterator[Finding]:
    ours = f"stargan-lab {version('stargan-lab')} (commit {git_commit()}), python {python_version()}"
    yield Finding("ok", "versions", ours)
    installed, missing = [], []
    for name in LIBRARIES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("ok", "libraries", ", ".join(installed))
    if missing:
        yield Finding("problem", "libraries", f"not installed: {', '.join(missing)}; reinstall stargan-lab")


def devices(config: RunConfig) -> Iterator[Finding]:
    cores, memory = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("ok", "CPU", f"{environment('cpu')['machine']}: {cores} cores, {memory / GIB:.0f} GiB memory")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about drivers it cannot use
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", "GPU", f"cuda:{index} {properties.name}, {properties.total_memory / GIB:.0f} GiB")
    device = config.trainer.device
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
        devices = ", ".join(["auto", "cpu", *(f"cuda:{index}" for index in range(count))])
        yield Finding("problem", "GPU", f"trainer.device={device} is not available; use one of {devices}")
    elif not count:
        reason = "torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU or driver found"
        yield Finding("note", "GPU", f"none ({reason}); runs use the CPU")
    yield _precision(config, on_gpu=bool(count) and device != "cpu")
    threads = thread_count(config)
    excess = "; more threads than cores slow training down" if threads > cores else ""
    yield Finding("note" if excess else "ok", "threads", f"{threads} on {cores} cores{excess}")


def _precision(config: RunConfig, on_gpu: bool) -> Finding:
    """Without hardware support, bfloat16 is emulated, which is slower than float32."""
    precision, device = config.trainer.precision, "GPU" if on_gpu else "CPU"
    supported = torch.cuda.get_device_capability() >= (8, 0) if on_gpu else cpu_has_bfloat16()
    support = f"{device} {'supports' if supported else 'does not support'} bfloat16"
    if precision == "bfloat16" and not supported:
        return Finding("note", "precision", f"bfloat16, but the {support}; float32 is faster")
    hint = "; trainer.precision=bfloat16 may be faster" if supported and precision != "bfloat16" else ""
    return Finding("ok", "precision", f"{precision}; the {support}{hint}")


def cpu_has_bfloat16() -> bool:
    """Whether /proc/cpuinfo lists a bfloat16 instruction set."""
    try:
        return not {"avx512_bf16", "amx_bf16"}.isdisjoint(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False


def disk(outputs: Path) -> Iterator[Finding]:
    if not can_be_written(outputs):
        yield Finding("problem", "outputs", f"{outputs} is not writable; set paths.outputs to another directory")
        return
    free = shutil.disk_usage(existing_parent(outputs)).free
    text = f"{outputs.absolute()}: {free / GIB:.1f} GiB free"
    if free < RUN_SPACE:
        yield Finding("problem", "outputs", f"{text}; free up space or set paths.outputs to another disk")
    else:
        yield Finding("note" if free < SWEEP_SPACE else "ok", "outputs", text)
