"""Pictures cut and put together, in forms with a fast gradient: Paddle's, of each slice, is as large as what it was cut
from, which on a CPU takes longer than the convolution beside it. All of them can be differentiated twice."""
from __future__ import annotations

from functools import lru_cache

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

_LARGEST_PRODUCT = 256                                         # above, slices and their gradient are the faster ones


def sum_shifted(rows, count: int):
    """rows [N, count * K, H, W], map k of kernel row r at r * K + k, to [N, K, H + 1 - count, W]: kernel row r, moved
    up by r pixels, added up over the kernel's rows."""
    return _SumShifted.apply(rows, count) if _recorded(rows) else _sum_shifted(rows, count)


def mirror(x, width: int):
    """x [N, C, H, W] with `width` pixels mirrored beyond each border, the border's own left out."""
    height, across = x.shape[2:]
    if _recorded(x) and x.place.is_cpu_place() and max(height, across) <= _LARGEST_PRODUCT:
        rows, columns = (paddle.to_tensor(_mirroring(size, width), dtype=x.dtype) for size in (height, across))
        return paddle.matmul(rows, paddle.matmul(x, columns), transpose_x=True)
    return _mirror(x, width)


@lru_cache(maxsize=64)
def _mirroring(size: int, width: int) -> np.ndarray:
    """[size, size + 2 * width] of ones and zeros: a row times it is the row with its ends mirrored."""
    where = np.pad(np.arange(size), width, mode="reflect")
    return np.eye(size, dtype=np.float32)[:, where]


def double_by_phases(phases):
    """[N, C * 4, H, W], a channel's four phases (top left, top right, bottom left, bottom right) side by side, to
    [N, C, 2H, 2W]. Paddle's own pixel_shuffle cannot be differentiated twice."""
    return _Shuffle.apply(phases) if _recorded(phases) else F.pixel_shuffle(phases, 2)


def moments(x):
    """Of x [N, C, H, W] each map's mean and variance [N, C, 1, 1], and each sample's [N, 1, 1, 1], all biased."""
    return _Moments.apply(x) if _recorded(x) else _moments(x)


def _moments(x):
    mean, layer_mean = x.mean([2, 3], keepdim=True), x.mean([1, 2, 3], keepdim=True)
    centred, deviation = x - mean, x - layer_mean
    return (mean, (centred * centred).mean([2, 3], keepdim=True),
            layer_mean, (deviation * deviation).mean([1, 2, 3], keepdim=True))


class _Moments(PyLayer):
    @staticmethod
    def forward(ctx, x):
        mean, variance, layer_mean, layer_variance = _moments(x)
        ctx.save_for_backward(x, mean, layer_mean)
        return mean, variance, layer_mean, layer_variance

    @staticmethod
    def backward(ctx, of_mean, of_variance, of_layer_mean, of_layer_variance):
        x, mean, layer_mean = ctx.saved_tensor()
        channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
        slope = 2 / pixels * (of_variance + of_layer_variance / channels)                # of x, [N, C, 1, 1]
        shift = (of_mean + of_layer_mean / channels
                 - 2 * (of_variance * mean + of_layer_variance * layer_mean / channels)) / pixels
        return x * slope + shift


class _Shuffle(PyLayer):
    @staticmethod
    def forward(ctx, phases):
        return F.pixel_shuffle(phases, 2)

    @staticmethod
    def backward(ctx, gradient):
        return _Unshuffle.apply(gradient)


class _Unshuffle(PyLayer):
    @staticmethod
    def forward(ctx, picture):
        return F.pixel_unshuffle(picture, 2)

    @staticmethod
    def backward(ctx, gradient):
        return _Shuffle.apply(gradient)


def _recorded(x) -> bool:
    return paddle.in_dynamic_mode() and paddle.is_grad_enabled() and not x.stop_gradient


def _rows(x, first: int, last: int, axis: int = 2):
    return paddle.slice(x, [axis], [first], [last])


def _sum_shifted(rows, count: int):
    height = rows.shape[2] + 1 - count
    summed, *others = (_rows(maps, row, row + height) for row, maps in enumerate(rows.split(count, 1)))
    for maps in others:
        summed = summed + maps
    return summed


def _mirror(x, width: int):
    for axis in (2, 3):
        size = x.shape[axis]
        before = [_rows(x, index, index + 1, axis) for index in range(width, 0, -1)]
        after = [_rows(x, size - 1 - index, size - index, axis) for index in range(1, width + 1)]
        x = paddle.concat([*before, x, *after], axis)
    return x


class _SumShifted(PyLayer):
    @staticmethod
    def forward(ctx, rows, count):
        ctx.count = count
        return _sum_shifted(rows, count)

    @staticmethod
    def backward(ctx, gradient):
        batch, maps, _, width = gradient.shape
        last = ctx.count - 1
        none = [[paddle.zeros([batch, maps, height, width], gradient.dtype)] if height else []
                for height in range(ctx.count)]
        return paddle.concat([paddle.concat([*none[row], gradient, *none[last - row]], 2) for row in range(ctx.count)],
                             1)
