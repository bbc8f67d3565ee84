"""The operators of the stand-ins in NumPy float64, as TFLite defines them.

Used to calibrate weights. float64, because what is rounded to the float16 grid afterwards then comes out the same
on every machine: sums that differ in the last bit of a float32 would not.

Layouts are TFLite's: images [batch, height, width, channels], convolution weights [out, height, width, in],
depthwise weights [1, height, width, channels].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """How a kernel of `rows` x `columns` moves over an image; `padding` is "SAME" or "VALID"."""

    rows: int
    columns: int
    stride: int = 1
    dilation: int = 1
    padding: str = "SAME"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for an input of this height and width."""
        return self._length(height, self.rows), self._length(width, self.columns)

    def taps(self, x: Array, fill: float = 0.0) -> Iterator[tuple[int, int, Array]]:
        """For each kernel position (row, column): what it meets at every output position; `fill` is beyond the edge."""
        height, width = self.output_size(x.shape[1], x.shape[2])
        if self.padding == "SAME":
            above, left = self._around(x.shape[1], self.rows), self._around(x.shape[2], self.columns)
            x = np.pad(x, ((0, 0), above, left, (0, 0)), constant_values=fill)
        for row in range(self.rows):
            for column in range(self.columns):
                lines = x[:, row * self.dilation :][:, : (height - 1) * self.stride + 1 : self.stride]
                yield (
                    row,
                    column,
                    lines[:, :, column * self.dilation :][:, :, : (width - 1) * self.stride + 1 : self.stride],
                )

    def _length(self, size: int, kernel: int) -> int:
        if self.padding == "SAME":
            return -(-size // self.stride)
        return (size - (kernel - 1) * self.dilation - 1) // self.stride + 1

    def _around(self, size: int, kernel: int) -> tuple[int, int]:
        """Padding before and after: the odd pixel comes after."""
        reach = (self._length(size, kernel) - 1) * self.stride + (kernel - 1) * self.dilation + 1
        total = max(reach - size, 0)
        return total // 2, total - total // 2


def conv2d(x: Array, weights: Array, bias: Array, window: Window) -> Array:
    """CONV_2D without activation."""
    result: Array = bias + sum(patch @ weights[:, row, column].T for row, column, patch in window.taps(x))
    return result


def depthwise(x: Array, weights: Array, bias: Array, window: Window) -> Array:
    """DEPTHWISE_CONV_2D with multiplier 1, without activation."""
    result: Array = bias + sum(patch * weights[0, row, column] for row, column, patch in window.taps(x))
    return result


def transpose_conv(x: Array, weights: Array, bias: Array, stride: int) -> Array:
    """TRANSPOSE_CONV with SAME padding: [batch, h, w, in] to [batch, h * stride, w * stride, out]."""
    batch, height, width, _ = x.shape
    out, rows, columns, _ = weights.shape
    full = np.zeros((batch, (height - 1) * stride + rows, (width - 1) * stride + columns, out))
    for row in range(rows):
        for column in range(columns):
            lines = full[:, row : row + (height - 1) * stride + 1 : stride]
            lines[:, :, column : column + (width - 1) * stride + 1 : stride] += x @ weights[:, row, column].T
    top, left = max(rows - stride, 0) // 2, max(columns - stride, 0) // 2
    result: Array = bias + full[:, top : top + height * stride, left : left + width * stride]
    return result


def max_pool(x: Array, window: Window) -> Array:
    """MAX_POOL_2D."""
    result: Array = np.max(np.stack([patch for _, _, patch in window.taps(x, -np.inf)]), axis=0)
    return result


def global_average(x: Array) -> Array:
    """AVERAGE_POOL_2D over the whole image: [batch, h, w, c] to [batch, 1, 1, c]."""
    result: Array = x.mean(axis=(1, 2), keepdims=True)
    return result


def resize_bilinear(x: Array, height: int, width: int) -> Array:
    """RESIZE_BILINEAR with align_corners: the corners of input and output coincide."""
    rows, columns = _interpolation(x.shape[1], height), _interpolation(x.shape[2], width)
    result: Array = np.einsum("yh,nhwc,xw->nyxc", rows, x, columns, optimize=True)
    return result


def _interpolation(size: int, new_size: int) -> Array:
    """Matrix [new_size, size] that interpolates linearly between the samples of a line."""
    positions = np.arange(new_size) * ((size - 1) / (new_size - 1) if new_size > 1 else 0.0)
    result: Array = np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(size)))
    return result


def activate(x: Array, activation: str) -> Array:
    """A fused activation function: NONE, RELU or RELU6.

    Raises:
        ValueError: another name.
    """
    if activation == "NONE":
        return x
    if activation == "RELU":
        return np.maximum(x, 0.0)
    if activation == "RELU6":
        return np.clip(x, 0.0, 6.0)
    raise ValueError(f"unknown activation '{activation}'")


def prelu(x: Array, slope: Array) -> Array:
    """PRELU: negative values times the slope of their channel."""
    return np.where(x < 0, x * slope, x)
