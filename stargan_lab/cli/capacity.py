"""How many runs this machine trains at a time."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from joblib import cpu_count

from stargan_lab.config import RunConfig
from stargan_lab.config.run_identity import device_name, thread_count
from stargan_lab.errors import ConfigError, counted, one_line

GIB = 2**30

RUNS_PER_GPU = 8
"""At most; more have not been measured."""

MOST_SHARING = 1.5
"""At most so many times the runs that the cores allow, so that the last round leaves fewer cores idle."""

BYTES_PER_RUN = GIB
"""Libraries, weights, optimizers and data, generously."""

BYTES_PER_PIXEL = 8 * 2**10
"""Activations and gradients per pixel of a batch; training the attribute classifier included."""

FREE_GPU_MEMORY = "import torch; print(*(torch.cuda.mem_get_info(gpu)[0] for gpu in range(torch.cuda.device_count())))"
"""For a process of its own: one that asks keeps memory on the GPU until it ends."""

GPU_SECONDS = 60
"""How long the driver may take to answer; it hangs with a broken GPU."""


@dataclass(frozen=True)
class Capacity:
    """How many runs are trained at a time.

    Attributes:
        runs: at least 1.
        reason: what limits them, e.g. ``2 cores, trainer.threads=1``; empty if the user has chosen.
        most: how many can be trained at a time if more than ``runs`` share their cores; less than ``runs``: no more.
    """

    runs: int
    reason: str = ""
    most: int = field(default=0, compare=False)

    def limited_to(self, runs: int) -> "Capacity":
        """For so many runs: at most all; or the smallest number up to ``most`` with which they take the least time.

        Runs are trained in rounds. Where n runs share the cores of fewer, a round takes n / fewer times as long, but
        the last round may leave fewer cores idle.
        """
        if runs <= self.runs:
            return Capacity(runs, self.reason)
        best = min(range(self.runs, max(self.most, self.runs) + 1), key=lambda n: _rounds(runs, n) * n)
        if best == self.runs:
            return self
        saved = f"{counted(_rounds(runs, best), 'round')} instead of {_rounds(runs, self.runs)}"
        return Capacity(best, f"{self.reason}; {saved}")

    def text(self) -> str:
        """``2 at a time (2 cores, trainer.threads=1)``."""
        many = "one" if self.runs == 1 else f"{self.runs:,}"
        return f"{many} at a time" + (f" ({self.reason})" if self.reason else "")


def _rounds(runs: int, at_a_time: int) -> int:
    return -(-runs // at_a_time)


def capacity(configs: Sequence[RunConfig]) -> Capacity:
    """How many runs with these configurations fit on this machine, if all were like the most demanding one.

    On the CPU, runs share neither cores nor more than the free memory. On GPUs, several share each one, and
    cores limit only runs with a number for ``trainer.threads``.

    Raises:
        ConfigError: the GPUs cannot be used.
    """
    threads, cores = max(map(_cores_needed, configs)), cpu_count()
    needed = max(map(estimated_bytes, configs))
    per_run = f"about {needed / GIB:.1f} GiB per run"
    on_gpu = any(device_name(config) == "cuda" for config in configs)
    gpus = _chosen(free_gpu_memory(), configs) if on_gpu else []
    free = free_memory()
    in_memory = Capacity(free // needed, f"{free / GIB:.1f} GiB of free memory, {per_run}")
    limits = [in_memory]
    if threads:
        fitting = max(cores // threads, len(gpus))
        limits.insert(0, Capacity(fitting, f"{counted(cores, 'core')}, trainer.threads={threads}"))
    if gpus:
        fitting = min(RUNS_PER_GPU, min(gpus) // needed)
        about = f"{counted(len(gpus), 'GPU')} with {min(gpus) / GIB:.1f} GiB of free memory, {per_run}"
        limits.append(Capacity(len(gpus) * max(fitting, 1), about))
    least = min(limits, key=lambda limit: limit.runs)
    fit = max(least.runs, 1)
    return Capacity(fit, least.reason, most=0 if gpus else min(int(MOST_SHARING * fit), in_memory.runs))


def _cores_needed(config: RunConfig) -> int:
    """The cores that a run does not share with others; 0: it may share all, as a run on a GPU with ``threads=null``."""
    return thread_count(config) if config.trainer.threads or device_name(config) == "cpu" else 0


def jobs_on_all_cores(cores: int) -> int:
    """How many jobs with so many cores each use all cores of this machine; at least 1."""
    return max(cpu_count() // cores, 1)


def _chosen(gpus: Sequence[int], configs: Sequence[RunConfig]) -> Sequence[int]:
    """Those that ``trainer.device=cuda:N`` chooses; all without such a choice."""
    indices = {int(index) for config in configs if (index := config.trainer.device.partition(":")[2])}
    return [gpus[index] for index in sorted(indices)] or gpus


def estimated_bytes(config: RunConfig) -> int:
    """A cautious estimate of a run's memory, on the CPU or a GPU, without building its networks."""
    images = max(config.batch_size, config.evaluation.batch_size)
    return BYTES_PER_RUN + BYTES_PER_PIXEL * images * config.data.image_size**2


def free_memory() -> int:
    """Bytes that new processes can use without swapping."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert match is not None
    free = int(match[1]) * 2**10
    in_container = left_in_container(Path("/sys/fs/cgroup"))
    return free if in_container is None else min(free, in_container)


def left_in_container(root: Path, own: str | None = None) -> int | None:
    """Bytes up to the nearest limit of this process's control group and those above it; None without a limit.

    Cached files count as free.

    Args:
        root: of the control groups, version 2.
        own: content of /proc/self/cgroup; None: that of this process.
    """
    listed = Path("/proc/self/cgroup").read_text() if own is None else own
    found = re.search(r"^0::/(.*)$", listed, re.M)  # version 2 has the number 0 and no controllers
    group = root / (found[1] if found else "")
    if not group.resolve().is_relative_to(root.resolve()):  # seen from within a namespace, as /../NAME
        group = root
    groups = [group, *(parent for parent in group.parents if parent.is_relative_to(root))]
    return min((left for each in groups if (left := _left_in_group(each)) is not None), default=None)


def _left_in_group(group: Path) -> int | None:
    try:
        limit, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        cached = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(), re.M)
    except OSError:  # the root of the machine has no limit, and a container may not see the groups above its own
        return None
    return None if limit == "max" else max(int(limit) - int(used) + int(cached[1] if cached else 0), 0)


def free_gpu_memory() -> list[int]:
    """Free bytes of each visible GPU. Raises ConfigError if there is none, or its memory cannot be read."""
    command = [sys.executable, "-c", FREE_GPU_MEMORY]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GPU_SECONDS)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"trainer.device=cuda: no answer about the GPUs' free memory in {GPU_SECONDS} s; check them with nvidia-smi"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        reason = one_line(ValueError(last))
        raise ConfigError(f"trainer.device=cuda: cannot read free GPU memory ({reason}); set hydra.launcher.n_jobs")
    if not done.stdout.strip():
        raise ConfigError("trainer.device=cuda: needs a visible GPU, and there is none; set trainer.device=cpu")
    return [int(free) for free in done.stdout.split()]
