"""The least time that a training step can take on this machine."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stargan_lab.runs.network_measures import FlopCounter

CONVOLUTIONS = ("aten::convolution", "aten::convolution_backward")
OPTIMIZERS = ("aten::_fused_adam_", "aten::_fused_adam")


class _Bytes(TorchDispatchMode):
    """Counts what convolutions and optimizers must read and write: each operand and each result once."""

    total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        if name in CONVOLUTIONS:
            self.total += _bytes(args) + _bytes(result)
        elif name in OPTIMIZERS:  # weights, gradients and two averages are read; all but gradients are written
            self.total += 7 * _bytes(args[0])
        return result


def _bytes(values: Any) -> int:
    return sum(x.numel() * x.element_size() for x in tree_leaves(values) if isinstance(x, torch.Tensor))


Clock = Callable[[], float]


def _best(run: Callable[[], object], device: str, clock: Clock, repeats: int = 8) -> float:
    times = []
    for _ in range(repeats):
        if device == "cuda":
            torch.cuda.synchronize()
        start = clock()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times)


def rates(device: str, dtype: torch.dtype, clock: Clock = time.perf_counter) -> tuple[float, float]:
    """FLOP/s of a large matrix product, and bytes/s of a large copy, read plus written.

    On a CUDA device, float32 products are in TF32, as torch's convolutions are.

    Args:
        clock: ``time.process_time`` on a CPU that others use too.
    """
    size = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, True
    product = 2 * size**3 / _best(lambda: a @ b, device, clock)
    torch.backends.cuda.matmul.allow_tf32 = before
    source = torch.randn(2**28 if device == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    return product, 2 * _bytes(source) / _best(lambda: target.copy_(source), device, clock)


def costs(cycle: Callable[[], None]) -> tuple[int, int]:
    """FLOPs and bytes of one call of ``cycle``, which must run eagerly."""
    with FlopCounter() as flops, _Bytes() as moved:
        cycle()
    return flops.total, moved.total


def floor(cycle: Callable[[], None], device: str, dtype: torch.dtype, steps: int) -> dict[str, float]:
    """The floor per step of a cycle of ``steps`` steps, and what it follows from; ``cycle`` must run eagerly."""
    cycle()
    flops, moved = costs(cycle)
    rate, bandwidth = rates(device, dtype)
    computing, moving = flops / rate / steps, moved / bandwidth / steps
    return {
        "gflops": round(flops / steps / 1e9, 2),
        "mib": round(moved / steps / 2**20, 1),
        "measured_gflops_per_second": round(rate / 1e9, 1),
        "measured_gib_per_second": round(bandwidth / 2**30, 1),
        "floor_flops_seconds": round(computing, 6),
        "floor_bytes_seconds": round(moving, 6),
        "floor_seconds": round(max(computing, moving), 6),
    }
