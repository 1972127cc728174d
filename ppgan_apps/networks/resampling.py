"""Anti-aliased resampling by the binomial filter [1, 3, 3, 1], in forms that can be differentiated twice on Paddle.

Paddle's transposed, depthwise and strided-slice operators raise under `create_graph`. A filter along one axis is a
banded matrix, so blurring is two matrix products, and an upsampling convolution is an ordinary one per output phase.
"""
from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

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


def interleave(phases, channels: int, size: int):
    """[N, 4 * channels, size, size], phases outermost, to [N, channels, 2 * size, 2 * size]."""
    phases = phases.reshape([-1, 4, channels, size, size, 1]).split(4, 1)
    # Concatenation, because Paddle 2.6 cannot differentiate paddle.stack twice.
    top, bottom = (paddle.concat(pair, -1).reshape([-1, channels, size, 1, 2 * size])
                   for pair in (phases[:2], phases[2:]))
    return paddle.concat([top, bottom], 3).reshape([-1, channels, 2 * size, 2 * size])


def upsampling_convolution(images, weight, matrices):
    """Zero-insertion, 3x3 convolution and blur as one ordinary convolution with four outputs per channel.

    images [N, in, H, H]; weight [out, in, 3, 3]; matrices is `phase_matrices()`; [N, out, 2H, 2H].
    """
    channels, inputs = weight.shape[:2]
    kernels = paddle.matmul(weight.reshape([1, channels * inputs, 9]), matrices)   # [4, out * in, 9]
    phases = F.conv2d(images, kernels.reshape([4 * channels, inputs, 3, 3]), padding=1)
    return interleave(phases, channels, images.shape[-1])


def upsampling_convolution_once(images, weight, matrix):
    """The same by a transposed convolution, about three times faster on a CPU, which cannot be differentiated twice.

    matrix is `blur_matrix(2H + 1, (1, 1), gain=2)`.
    """
    return blur(F.conv2d_transpose(images, weight.transpose([1, 0, 2, 3]), stride=2), matrix)


def upsample(images, kernel):
    """Doubles `images` [N, C, H, H] with a [4, 4] filter `kernel` that sums to 4; [N, C, 2H, 2H]."""
    channels, size = images.shape[1], images.shape[-1]
    # Output 2a + p sees inputs a - 1, a, a + 1: kernel taps (3, 1, none) for p = 0, (none, 2, 0) for p = 1.
    rows = paddle.stack([kernel[3], kernel[1], paddle.zeros_like(kernel[0]),
                         paddle.zeros_like(kernel[0]), kernel[2], kernel[0]]).reshape([2, 3, 4])
    none = paddle.zeros_like(rows[:, :, 0])
    phases = paddle.stack([rows[:, :, 3], rows[:, :, 1], none, none, rows[:, :, 2], rows[:, :, 0]], -1)
    phases = phases.reshape([2, 3, 2, 3]).transpose([0, 2, 1, 3]).reshape([4, 1, 3, 3])
    doubled = F.conv2d(images.reshape([-1, 1, size, size]), phases, padding=1)          # [N * C, 4, H, H]
    return interleave(doubled, 1, size).reshape([-1, channels, 2 * size, 2 * size])
