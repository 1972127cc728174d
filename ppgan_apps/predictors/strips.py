"""Large pictures on a CPU: convolutions done in strips of rows, the same numbers in a bounded memory.

Paddle's CPU convolution first copies every pixel's neighbourhood: a 7 x 7 one over 64 channels of a 512 x 512 picture
takes 3.3 GB, more than all else in AnimeGANv2 together. In strips it takes `LARGEST_COPY`, and is no slower; smaller
strips are not faster.
"""
from __future__ import annotations

from functools import partial

LARGEST_COPY = 64_000_000                                      # bytes


def convolve_in_strips(network) -> None:
    """Makes every plain or modulated convolution of `network` work in strips where its copy would be too large. For
    inference: gradients would keep the strips."""
    import paddle

    from ..networks.layers import BiasedConv2D, RowsConv2D
    from ..networks.stylegan2 import ModulatedConv2D
    for layer in network.sublayers():
        if isinstance(layer, ModulatedConv2D):
            layer.convolve = convolve
        elif type(layer) in (paddle.nn.Conv2D, BiasedConv2D, RowsConv2D) and _plain(layer):
            layer.forward = partial(_of_layer, layer)


def _plain(layer) -> bool:
    return layer._padding_mode == "zeros" and layer._groups == 1 and isinstance(layer._padding, int)


def _of_layer(layer, x):
    """x [N, C, H, W] -> [N, K, H', W']: what the layer gives."""
    from ..networks.layers import RowsConv2D, add_bias
    if isinstance(layer, RowsConv2D):
        convolved = _convolve_by_rows(x, layer.weight, layer._padding)
    else:
        convolved = convolve(x, layer.weight, layer._stride[0], layer._padding, layer._dilation[0])
    return convolved if layer.bias is None else add_bias(convolved, layer.bias)


def convolve(x, weight, stride: int = 1, padding: int = 0, dilation: int = 1):
    """As Paddle's conv2d, x [N, C, H, W] and weight [K, C, k, k]."""
    import paddle
    import paddle.nn.functional as F
    size = weight.shape[2]
    spread = dilation * (size - 1) + 1                         # rows that one row of the result sees
    rows = (x.shape[2] + 2 * padding - spread) // stride + 1
    step = _rows_at_once(x.shape[1] * size * size * (x.shape[3] // stride))
    # A 1 x 1 convolution copies nothing; gradients would keep the strips; an exported network has one operator.
    if step >= rows or size == 1 or paddle.is_grad_enabled() or not paddle.in_dynamic_mode():
        return F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)

    def strip(first: int, last: int):
        top, bottom = first * stride - padding, (last - 1) * stride + spread - padding
        above, below = max(0, -top), max(0, bottom - x.shape[2])       # rows of zeros beyond the picture
        return F.conv2d(x[:, :, top + above:bottom - below], weight, stride=stride,
                        padding=[above, below, padding, padding], dilation=dilation)
    return _joined(strip, rows, step)


def _convolve_by_rows(x, weight, padding: int):
    """As layers.convolve_by_rows."""
    import paddle.nn.functional as F

    from ..networks.layers import convolve_by_rows
    outputs, inputs, size = weight.shape[:3]
    rows = x.shape[2] + 2 * padding + 1 - size
    step = _rows_at_once((inputs + outputs) * size * x.shape[3])
    if step >= rows:
        return convolve_by_rows(x, weight, padding)
    x = F.pad(x, [padding] * 4)
    return _joined(lambda first, last: convolve_by_rows(x[:, :, first:last + size - 1], weight, 0), rows, step)


def _rows_at_once(copied: int) -> int:
    """How many rows of a result fit into a strip, when each needs a copy of so many numbers."""
    return max(1, LARGEST_COPY // (4 * copied))


def _joined(strip, rows: int, step: int):
    """The strips of `rows` rows, `step` each, one below the other."""
    import paddle
    return paddle.concat([strip(first, min(first + step, rows)) for first in range(0, rows, step)], axis=2)
