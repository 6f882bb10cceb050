"""Measures of built networks: parameters, FLOPs and receptive field. All but ``measured_field`` use shapes alone."""

from collections.abc import Iterable
from copy import deepcopy
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from stargan_lab.seeding import generator_for

Graph = dict[Node, set[Node]]
"""Each node of an autograd graph with the nodes that use its output."""
Span = tuple[int, int]
"""First and last position, both included."""
Region = tuple[Span, Span]
"""Rows and columns."""


def shapes_only(network: nn.Module) -> nn.Module:
    """A copy on the meta device, whose tensors have shapes but no values; the network's values are never copied."""
    tensors = [*network.parameters(), *network.buffers()]
    memo: dict[int, Any] = {id(t): torch.empty_like(t, device="meta", requires_grad=False) for t in tensors}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(memo[id(parameter)], parameter.requires_grad)
    return deepcopy(network, memo)


def size_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def trainable(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return size_of(parameter for parameter in network.parameters() if parameter.requires_grad)


class FlopCounter(TorchDispatchMode):
    """Counts FLOPs in its context by torch's formulas, those of ``FlopCounterMode``.

    Convolutions and matrix products count, forward and backward, as torch executes them: two FLOPs per multiply-add.
    ``FlopCounterMode`` itself takes longer, and its counts per module do not support gradients of a network's input.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


def graph_of(output: Tensor) -> Graph:
    """The autograd graph of ``output``, which must require a gradient."""
    assert output.grad_fn is not None
    graph: Graph = {output.grad_fn: set()}
    remaining = [output.grad_fn]
    while remaining:
        node = remaining.pop()
        for source, _ in node.next_functions:
            if source is not None:
                if source not in graph:
                    remaining.append(source)
                graph.setdefault(source, set()).add(node)
    return graph


def leaves(graph: Graph) -> set[Tensor]:
    """The tensors that the output is differentiated by: parameters, and images that require a gradient."""
    return {node.variable for node in graph if hasattr(node, "variable")}


def receptive_field(graph: Graph, images: Tensor) -> int | None:
    """Side in px, the larger of height and width, of the region of ``images`` that one output sees.

    Counts convolutions and pooling of any kernel, stride and dilation, along all paths; it may exceed the image. None
    if the output does not depend on ``images``, which must require a gradient.
    """
    region = seen_region(graph, images)
    return None if region is None else max(last - first + 1 for first, last in region)


def seen_region(graph: Graph, images: Tensor, position: int = 0) -> Region | None:
    """The rows and columns of ``images`` that the output in row and column ``position`` sees.

    Offsets are those of padded and strided layers; regions may reach beyond the image. None as for ``receptive_field``.
    """
    regions: dict[Node, Region] = {}
    for node in TopologicalSorter(graph).static_order():
        inputs = [_input_region(user, regions[user]) for user in graph[node]] or [2 * ((position, position),)]
        rows, columns = zip(*inputs, strict=True)
        regions[node] = _union(rows), _union(columns)
    return next((regions[node] for node in graph if getattr(node, "variable", None) is images), None)


def _union(spans: Iterable[Span]) -> Span:
    first, last = zip(*spans, strict=True)
    return min(first), max(last)


def _input_region(node: Node, region: Region) -> Region:
    """The region of its input that a node reads for a region of its output."""
    padding: tuple[int, ...] = getattr(node, "_saved_padding", getattr(node, "_saved_pad", (0, 0)))
    kernel = getattr(node, "_saved_kernel_size", ())
    if not kernel and hasattr(node, "_saved_stride") and hasattr(node, "_saved_weight"):
        kernel = node._saved_weight.shape[2:]
    if len(kernel) != 2:
        if len(padding) != 4:
            return region
        (top, bottom), (left, right) = region  # a layer that only pads: (left, right, top, bottom)
        return (top - padding[2], bottom - padding[2]), (left - padding[0], right - padding[0])
    strides = node._saved_stride or kernel  # type: ignore[attr-defined]
    dilations, transposed = getattr(node, "_saved_dilation", (1, 1)), getattr(node, "_saved_transposed", False)
    read = _read_transposed if transposed else _read
    rows, columns = map(read, region, padding, strides, (d * (k - 1) for d, k in zip(dilations, kernel, strict=True)))
    return rows, columns


def _read(span: Span, padding: int, stride: int, reach: int) -> Span:
    """What a convolution or pooling with kernels of ``reach`` + 1 px reads for a span of its output."""
    first, last = (stride * position - padding for position in span)
    return first, last + reach


def _read_transposed(span: Span, padding: int, stride: int, reach: int) -> Span:
    """The same for a transposed convolution; as many inputs as any output of this span's length reads."""
    first = -((reach - span[0] - padding) // stride)
    return first, first + (span[1] - span[0] + reach) // stride


def measured_field(critic: nn.Module, size: int) -> int:
    """Side in px of the region of a (3, size, size) image on which the score in the middle of the map depends.

    Measured by the gradient at a random image, on a copy of the network: layers over the whole map, such as a norm,
    extend the region of the convolutions, and the image's border limits it.
    """
    critic = deepcopy(critic)
    noise = torch.rand(1, 3, size, size, generator=generator_for("audit"))
    images = (2 * noise - 1).to(next(critic.parameters())).requires_grad_()
    scores = critic(images)[0][0].flatten(0, -3)[0]  # (P, P)
    (gradient,) = torch.autograd.grad(scores[scores.shape[0] // 2, scores.shape[1] // 2], images)
    affects = gradient.abs().amax((0, 1)) > 0
    lines = [affects.any(axis).nonzero().flatten() for axis in (0, 1)]
    return max(int(line[-1] - line[0]) + 1 if len(line) else 0 for line in lines)
