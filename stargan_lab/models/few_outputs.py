"""A convolution with few output channels and a large kernel, such as a generator's last one, made fast on the CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTPUTS, KERNEL = 4, 5
"""With at most so many output channels, and at least so large a kernel, two convolutions are faster than one."""


class Conv2d(nn.Conv2d):
    """``nn.Conv2d``; on the CPU, with few output channels and a large kernel, in less time.

    Values and gradients are the same up to rounding. Torch's kernels compute 16 output channels even where three are
    needed. So the columns of the kernel become output channels: one convolution applies each column by itself, and
    another one, with a kernel of zeros and ones, adds up the results, each at its column's offset.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        few, large = self.out_channels <= OUTPUTS, min(self.kernel_size) >= KERNEL
        plain = self.stride == (1, 1) == self.dilation and self.groups == 1 and not isinstance(self.padding, str)
        self._splits = few and large and plain

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self._splits or x.dim() != 4 or x.device.type != "cpu" or torch.compiler.is_exporting():
            return super()._conv_forward(x, weight, bias)
        rows, columns = (int(size) for size in self.padding)
        if self.padding_mode != "zeros":
            x, rows, columns = functional.pad(x, self._reversed_padding_repeated_twice, self.padding_mode), 0, 0
        channels, _, height, width = weight.shape
        by_column = weight.permute(0, 3, 1, 2).reshape(channels * width, -1, height, 1)
        # [c, c * width + i, 0, i] is 1: output c adds column i of channel c at offset i
        offsets = torch.eye(channels * width, dtype=weight.dtype).view(channels, width, -1).mT.unsqueeze(2)
        if x.is_contiguous():  # so that the gradient becomes contiguous: ReLU's backward pass is slow in another format
            x = x.flatten(1).view(x.shape)
        columns_of = functional.conv2d(x.contiguous(memory_format=torch.channels_last), by_column, padding=(rows, 0))
        output = functional.conv2d(columns_of, offsets, bias, padding=(0, columns))
        return output.contiguous() if x.is_contiguous() else output
