"""The least time that a training step can take on this machine."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

PRODUCTS = ("aten::convolution", "aten::convolution_backward", "aten::mm", "aten::addmm", "aten::bmm")
OPTIMIZERS = ("aten::_fused_adam_", "aten::_fused_adam")


class Cost(TorchDispatchMode):
    """Counts what a context must do at least.

    Attributes:
        flops: of convolutions and matrix products, by the data type in which they run.
        bytes: what these and optimizers must read and write: each operand and each result once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops: Counter[torch.dtype] = Counter()
        self.bytes = 0

    @property
    def total_flops(self) -> int:
        return self.flops.total()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        if formula := flop_registry.get(function._overloadpacket):
            self.flops[args[0].dtype] += formula(*args, **(kwargs or {}), out_val=result)
        if name in PRODUCTS:
            self.bytes += _bytes(args) + _bytes(result)
        elif name in OPTIMIZERS:  # weights, gradients and two averages are read; all but gradients are written
            self.bytes += 7 * _bytes(args[0])
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


def costs(cycle: Callable[[], None]) -> Cost:
    """What one call of ``cycle`` must do; it must run eagerly."""
    with Cost() as cost:
        cycle()
    return cost


def floor(cycle: Callable[[], None], device: str, steps: int, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """The floor per step of a cycle of ``steps`` steps, and what it follows from; ``cycle`` must run eagerly."""
    cycle()
    cost = costs(cycle)
    measured = {dtype: rates(device, dtype, clock) for dtype in cost.flops}
    computing = sum(flops / measured[dtype][0] for dtype, flops in cost.flops.items()) / steps
    moving = cost.bytes / max(bandwidth for _, bandwidth in measured.values()) / steps

    def named(values: dict[torch.dtype, float]) -> dict[str, float]:
        return {str(dtype).removeprefix("torch."): round(value / 1e9, 2) for dtype, value in values.items()}

    return {
        "gflops": named({dtype: flops / steps for dtype, flops in cost.flops.items()}),
        "mib": round(cost.bytes / steps / 2**20, 1),
        "measured_gflops_per_second": named({dtype: rate for dtype, (rate, _) in measured.items()}),
        "measured_gib_per_second": round(max(bandwidth for _, bandwidth in measured.values()) / 2**30, 1),
        "floor_flops_seconds": round(computing, 6),
        "floor_bytes_seconds": round(moving, 6),
        "floor_seconds": round(max(computing, moving), 6),
    }
