"""Large pictures on a CPU: convolutions done in strips of rows, the same numbers in a bounded memory.

Paddle's CPU convolution first copies every pixel's neighbourhood: a 7 x 7 one over 64 channels of a 512 x 512 picture
takes 3.3 GB, more than all else in AnimeGANv2 together. In strips it takes `LARGEST_COPY`, and is no slower.
"""
from __future__ import annotations

from functools import partial

LARGEST_COPY = 64_000_000                                      # bytes


def convolve_in_strips(network) -> None:
    """Makes every plain convolution of `network` work in strips where its copy would be too large. For inference:
    gradients would keep the strips."""
    import paddle

    from ..networks.layers import BiasedConv2D, RowsConv2D
    for layer in network.sublayers():
        if type(layer) in (paddle.nn.Conv2D, BiasedConv2D, RowsConv2D) and _plain(layer):
            layer.forward = partial(_convolve, layer)


def _plain(layer) -> bool:
    return layer._padding_mode == "zeros" and layer._groups == 1 and isinstance(layer._padding, int)


def _convolve(layer, x):
    """x [N, C, H, W] -> [N, K, H', W']: what the layer gives."""
    import paddle
    import paddle.nn.functional as F

    from ..networks.layers import RowsConv2D, add_bias, convolve_by_rows
    padding, (stride, across) = layer._padding, layer._stride
    kernel_rows, kernel_columns = layer.weight.shape[2:]
    spread = layer._dilation[0] * (kernel_rows - 1) + 1        # rows that one row of the result sees
    rows = (x.shape[2] + 2 * padding - spread) // stride + 1
    by_rows = isinstance(layer, RowsConv2D)
    copied = x.shape[1] * kernel_columns + layer.weight.shape[0] * kernel_rows if by_rows else \
        x.shape[1] * kernel_rows * kernel_columns
    bytes_per_row = 4 * copied * (x.shape[3] // across)
    step = max(1, LARGEST_COPY // bytes_per_row)
    if step >= rows or kernel_rows * kernel_columns == 1:      # a 1 x 1 convolution copies nothing
        return type(layer).forward(layer, x)
    x = F.pad(x, [padding] * 4)                                # [N, C, H + 2 padding, W + 2 padding]
    convolve = (partial(convolve_by_rows, weight=layer.weight, padding=0) if by_rows else
                partial(F.conv2d, weight=layer.weight, stride=layer._stride, dilation=layer._dilation))
    strips = [convolve(x[:, :, first * stride:(min(first + step, rows) - 1) * stride + spread])
              for first in range(0, rows, step)]
    convolved = paddle.concat(strips, axis=2)
    return convolved if layer.bias is None else add_bias(convolved, layer.bias)
