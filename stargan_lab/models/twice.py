"""Layers with the values and gradients of torch's, made for networks that a gradient penalty differentiates twice.

The penalty differentiates the scores with respect to the images, and training differentiates the result with respect
to the weights. Torch computes the second derivative of a convolution's weight with a convolution whose kernel is a
whole feature map, and backpropagates zeros through LeakyReLU. On the CPU, its convolutions are slow with many weights
and few output positions, where a matrix product takes their place.

``torch.func.grad`` works with these layers; ``vmap`` and forward-mode derivatives do not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Options = tuple[Any, Any, Any, int]
"""Stride, padding, dilation and groups of a convolution."""

PRODUCT_POSITIONS, PRODUCT_WEIGHTS = 4, 2**20
"""On the CPU, a convolution with at most so many output positions and at least so many weights is a matrix product."""


_ONCE: ContextVar[bool] = ContextVar("once", default=False)


@contextmanager
def differentiated_once() -> Iterator[None]:
    """Context of passes that are rarely differentiated twice: the layers are torch's own, which then take less time.

    A second derivative is right, but slow. Convolutions with many weights remain those of this module on the CPU.
    """
    token = _ONCE.set(True)
    try:
        yield
    finally:
        _ONCE.reset(token)


class _Backward(torch.autograd.Function):
    """The derivative of LeakyReLU: linear in the gradient, and locally constant in the output."""

    @staticmethod
    def forward(gradient: Tensor, output: Tensor, slope: float) -> Tensor:
        result: Tensor = torch.ops.aten.leaky_relu_backward(gradient, output, slope, True)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
        _, activation, ctx.slope = inputs
        ctx.save_for_backward(activation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (activation,) = ctx.saved_tensors
        return _Backward.apply(gradient, activation, ctx.slope), None, None


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, slope: float) -> Tensor:
        return functional.leaky_relu(x, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.slope = inputs[1]
        ctx.save_for_backward(output)
        ctx.set_materialize_grads(False)  # a penalty sends no gradient here; zeros must not be propagated

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        (activation,) = ctx.saved_tensors
        return _Backward.apply(gradient, activation, ctx.slope), None


class _InputGradient(torch.autograd.Function):
    """A convolution's gradient with respect to its input, linear in the output's gradient and in the weight."""

    @staticmethod
    def forward(gradient: Tensor, x: Tensor, weight: Tensor, options: Options) -> Tensor:
        result = _convolution_backward(gradient, x, weight, options, (True, False, False))[0]
        assert result is not None
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Options], output: Tensor) -> None:
        gradient, _, weight, ctx.options = inputs  # of x only the shape matters
        ctx.save_for_backward(gradient, weight)

    @staticmethod
    def backward(ctx: Any, second: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        gradient, weight = ctx.saved_tensors
        by_gradient = by_weight = None
        if ctx.needs_input_grad[0]:
            by_gradient = _convolution(second, weight, None, ctx.options)
        if ctx.needs_input_grad[2]:
            by_weight = _convolution_backward(gradient, second, weight, ctx.options, (False, True, False))[1]
        return by_gradient, None, by_weight, None


class _Alias(torch.autograd.Function):
    """The same tensor, not as a leaf. The gradient of torch's views is a view, which is not accumulated in place."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass  # as torch.func requires

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, options: Options) -> Tensor:
        return _convolution(x, weight, bias, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, Options], output: Tensor) -> None:
        x, weight, _, ctx.options = inputs
        ctx.save_for_backward(x, weight)
        ctx.set_materialize_grads(False)
        # what torch's own node has, from which the receptive field is computed
        ctx._saved_kernel_size = tuple(weight.shape[2:])
        ctx._saved_stride, ctx._saved_padding, ctx._saved_dilation, _ = ctx.options

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        if gradient is None:
            return None, None, None, None
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias = needed = tuple(
            needs and (index == 0 or torch._C._will_engine_execute_node(ctx.next_functions[index][0]))
            for index, needs in enumerate(ctx.needs_input_grad[:3])
        )
        if not torch.is_grad_enabled():
            return *_convolution_backward(gradient, x, weight, ctx.options, needed), None
        of_x = _InputGradient.apply(gradient, x.detach(), weight, ctx.options) if by_x else None
        of_weight = of_bias = None
        if by_weight or by_bias:
            others = (False, by_weight, by_bias)
            _, of_weight, of_bias = _convolution_backward(gradient, x, weight, ctx.options, others)
        return of_x, of_weight, of_bias, None


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, options: Options) -> Tensor:
    stride, padding, dilation, groups = options
    sizes = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    height, width = ((n + 2 * pad - d * (k - 1) - 1) // step + 1 for n, k, step, pad, d in sizes)
    if not _is_product(weight, height * width, groups):
        return functional.conv2d(x, weight, bias, *options)
    with torch.autocast("cpu", enabled=False):
        output = functional.linear(_patches(x, weight, options), weight.flatten(1), bias)
    return output.view(len(x), height * width, -1).mT.reshape(len(x), -1, height, width)


def _is_product(weight: Tensor, positions: int, groups: int) -> bool:
    small_map, many_weights = positions <= PRODUCT_POSITIONS, weight.numel() >= PRODUCT_WEIGHTS
    return small_map and many_weights and groups == 1 and weight.device.type == "cpu"


def _patches(x: Tensor, weight: Tensor, options: Options) -> Tensor:
    """(N · positions, channels · kernel) values that the kernel meets at each position of the output."""
    stride, padding, dilation, _ = options
    return functional.unfold(x, weight.shape[2:], dilation, padding, stride).mT.flatten(0, 1)


def _product_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, options: Options, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    stride, padding, dilation, _ = options
    by_x = by_weight = None
    rows = gradient.flatten(2).mT.flatten(0, 1)
    with torch.autocast("cpu", enabled=False):  # a gradient may be computed in the autocast of another network
        if needed[0]:
            patches = (rows @ weight.flatten(1)).view(len(x), -1, weight[0].numel()).mT
            by_x = functional.fold(patches, x.shape[2:], weight.shape[2:], dilation, padding, stride)
        if needed[1]:
            by_weight = (rows.mT @ _patches(x, weight, options)).view(weight.shape)
    return by_x, by_weight, rows.sum(0) if needed[2] else None


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, options: Options, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients with respect to input, weight and bias, where needed."""
    stride, padding, dilation, groups = options
    if _is_product(weight, gradient[0, 0].numel(), groups):
        return _product_backward(gradient, x, weight, options, needed)
    if x.device.type == "cpu":  # some of torch's kernels, e.g. for float64, refuse other memory formats
        # flattened first: with one channel, strides of either format count as contiguous
        gradient, x, weight = (each.contiguous().flatten().view(each.shape) for each in (gradient, x, weight))
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], stride, padding, dilation, False, [0, 0], groups, needed
    )
    return gradients


def _without_second_derivative() -> bool:
    return torch.compiler.is_compiling() or not torch.is_grad_enabled()


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` with the same values and gradients, and a faster second derivative.

    The latter is for batches with zero padding of a number of pixels; everything else is left to ``nn.Conv2d``.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product = weight.numel() >= PRODUCT_WEIGHTS and x.device.type == "cpu"
        once = _without_second_derivative() or (_ONCE.get() and not product)
        unusual = x.dim() != 4 or x.numel() == 0
        if once or unusual or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super()._conv_forward(x, weight, bias)
        kind = x.device.type
        if not x.is_meta and torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
            dtype = torch.get_autocast_dtype(kind)
            x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        # for leaves, the engine does not say whether their gradient is needed
        weight, bias = _Alias.apply(weight), None if bias is None else _Alias.apply(bias)
        options = (self.stride, self.padding, self.dilation, self.groups)
        result: Tensor = _Convolution.apply(x, weight, bias, options)
        return result


class LeakyReLU(nn.LeakyReLU):
    """``nn.LeakyReLU`` with the same values and gradients, but a cheaper second derivative and half the memory.

    The second derivative is zero almost everywhere. torch returns a tensor of zeros and propagates it through all
    earlier layers; here the gradient stops. The sign of the output is the sign of the input, so only the output is
    kept, which the next convolution keeps anyway. Needs a positive slope.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.negative_slope <= 0 or _without_second_derivative() or _ONCE.get():
            return super().forward(x)
        activation: Tensor = _Forward.apply(x, self.negative_slope)
        return activation
