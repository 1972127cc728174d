"""Anti-aliased resampling by the binomial filter [1, 3, 3, 1], in forms that can be differentiated twice on Paddle.

Paddle's transposed, depthwise and strided-slice operators raise under `create_graph`. A filter along one axis is a
banded matrix, so blurring is two matrix products, and an upsampling convolution is an ordinary one per output phase.
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np
import paddle
import paddle.nn.functional as F

from .gradients import double_by_phases

_LARGEST_DOUBLED = 512          # pixels on a side above which two matrix products cost more than a convolution
BINOMIAL = np.array([1.0, 3.0, 3.0, 1.0])


def binomial_kernel(gain: float = 1.0) -> np.ndarray:
    """The filter in two dimensions, float32 [4, 4], whose entries sum to `gain`."""
    kernel = np.outer(BINOMIAL, BINOMIAL)
    return (kernel * gain / kernel.sum()).astype(np.float32)


def blur_matrix(size: int, padding: tuple[int, int], stride: int = 1, gain: float = 1.0) -> np.ndarray:
    """float32 [size, out]: `row @ blur_matrix` pads a row with zeros, filters it and keeps each `stride`-th value."""
    taps = BINOMIAL * gain / BINOMIAL.sum()
    out = (size + sum(padding) - len(taps)) // stride + 1
    matrix = np.zeros((size, out), np.float32)
    for column in range(out):
        for tap, value in enumerate(taps):
            row = column * stride + tap - padding[0]
            if 0 <= row < size:
                matrix[row, column] += value
    return matrix


def blur(images, matrix):
    """Filters both axes of square `images` [N, C, size, size] with a `blur_matrix`; [N, C, out, out]."""
    return paddle.matmul(paddle.matmul(matrix, images, transpose_x=True), matrix)


def phase_matrices() -> np.ndarray:
    """float32 [4, 9, 9]: from a 3x3 kernel to the four 3x3 kernels of "upsample by two, convolve, blur".

    Inserting zeros, convolving with w and with the filter f amount to one convolution with c = w * f (6 taps):
    output 2a + p sees inputs a - 1, a, a + 1 through c[p + 4], c[p + 2], c[p] along each axis.
    """
    taps = BINOMIAL * 2 / BINOMIAL.sum()
    axis = np.zeros((3, 2, 3))                                       # kernel tap, output phase, window position
    for tap in range(3):
        for phase in range(2):
            for position in range(3):
                index = phase + 4 - 2 * position - tap
                if 0 <= index < len(taps):
                    axis[tap, phase, position] = taps[index]
    return np.einsum("apd,bqe->pqabde", axis, axis).reshape(4, 9, 9).astype(np.float32)


def upsampling_convolution(images, weight, matrices, convolve=F.conv2d):
    """Zero-insertion, 3x3 convolution and blur as one ordinary convolution with four outputs per channel.

    images [N, in, H, H]; weight [out, in, 3, 3]; matrices is `phase_matrices()`; [N, out, 2H, 2H].
    """
    channels, inputs = weight.shape[:2]
    kernels = paddle.matmul(weight.reshape([channels, 1, inputs, 9]), matrices)    # [out, 4, in, 9]
    phases = convolve(images, kernels.reshape([4 * channels, inputs, 3, 3]), padding=1)
    return double_by_phases(phases)


def upsampling_convolution_once(images, weight, matrix):
    """The same by a transposed convolution, about three times faster on a CPU, which cannot be differentiated twice.

    matrix is `blur_matrix(2H + 1, (1, 1), gain=2)`.
    """
    return blur(F.conv2d_transpose(images, weight.transpose([1, 0, 2, 3]), stride=2), matrix)


def _factors(kernel: np.ndarray) -> tuple[bytes, bytes] | None:
    """Columns and rows whose outer product a filter is, float32 each; None for a filter that is not one."""
    down, total = kernel.sum(1), kernel.sum()
    across = kernel.sum(0) / total if total else kernel.sum(0)
    return (down.tobytes(), across.tobytes()) if np.allclose(np.outer(down, across), kernel, rtol=1e-5) else None


@lru_cache(maxsize=32)
def _doubling_matrix(taps: bytes, size: int) -> np.ndarray:
    """float32 [size, 2 * size]: `row @ matrix` is the row doubled by a filter of four `taps`."""
    matrix = np.zeros((size, 2 * size), np.float32)
    filter_ = np.frombuffer(taps, np.float32)
    for column in range(2 * size):                             # reads inputs a - 1 and a, or a and a + 1
        a, odd = divmod(column, 2)
        for tap, row in ((0, a + 1), (2, a)) if odd else ((3, a - 1), (1, a)):
            if 0 <= row < size:
                matrix[row, column] = filter_[tap]
    return matrix


def upsample(images, kernel):
    """Doubles `images` [N, C, H, H] with a [4, 4] filter `kernel` that sums to 4; [N, C, 2H, 2H]."""
    size = images.shape[-1]
    if paddle.in_dynamic_mode() and images.place.is_cpu_place() and size <= _LARGEST_DOUBLED:
        factors = _factors(kernel.numpy().astype(np.float32))
        if factors:
            down, across = (paddle.to_tensor(_doubling_matrix(taps, size)).astype(images.dtype) for taps in factors)
            return paddle.matmul(paddle.matmul(down, images, transpose_x=True), across)
    return _upsample_by_convolution(images, kernel)


def _upsample_by_convolution(images, kernel):
    """The same for any filter, and as exported files have it."""
    channels, size = images.shape[1], images.shape[-1]
    # Output 2a + p sees inputs a - 1, a, a + 1: kernel taps (3, 1, none) for p = 0, (none, 2, 0) for p = 1.
    rows = paddle.stack([kernel[3], kernel[1], paddle.zeros_like(kernel[0]),
                         paddle.zeros_like(kernel[0]), kernel[2], kernel[0]]).reshape([2, 3, 4])
    none = paddle.zeros_like(rows[:, :, 0])
    phases = paddle.stack([rows[:, :, 3], rows[:, :, 1], none, none, rows[:, :, 2], rows[:, :, 0]], -1)
    phases = phases.reshape([2, 3, 2, 3]).transpose([0, 2, 1, 3]).reshape([4, 1, 3, 3])
    doubled = F.conv2d(images.reshape([-1, 1, size, size]), phases, padding=1)          # [N * C, 4, H, H]
    return double_by_phases(doubled).reshape([-1, channels, 2 * size, 2 * size])
