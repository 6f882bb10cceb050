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

    Counts convolutions and pooling of any kernel, stride and dilation, along the path with the largest region; it may
    exceed the image. None if the output does not depend on ``images``, which must require a gradient.
    """
    sides: dict[Node, tuple[int, int]] = {}
    for node in TopologicalSorter(graph).static_order():
        inputs = [_input_sides(user, sides[user]) for user in graph[node]] or [(1, 1)]
        sides[node] = max(height for height, _ in inputs), max(width for _, width in inputs)
    return next((max(sides[node]) for node in graph if getattr(node, "variable", None) is images), None)


def _input_sides(node: Node, sides: tuple[int, int]) -> tuple[int, int]:
    """The region of its input that a node reads for a region of ``sides`` of its output."""
    kernel = getattr(node, "_saved_kernel_size", ())
    if not kernel and hasattr(node, "_saved_stride") and hasattr(node, "_saved_weight"):
        kernel = node._saved_weight.shape[2:]
    if len(kernel) != 2:
        return sides
    strides = node._saved_stride or kernel  # type: ignore[attr-defined]
    dilations, transposed = getattr(node, "_saved_dilation", (1, 1)), getattr(node, "_saved_transposed", False)
    height, width = (
        (side - 1 + dilation * (k - 1)) // stride + 1 if transposed else (side - 1) * stride + dilation * (k - 1) + 1
        for side, k, stride, dilation in zip(sides, kernel, strides, dilations, strict=True)
    )
    return height, width


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
