"""U-Net generator of pix2pix (Isola et al. 2017, section 6.1.1).

Published attribute names: each level is a Sequential `model` that holds the next one.
"""
from __future__ import annotations

import paddle
import paddle.nn as nn

from ..sharing import Dropout
from .layers import convolution, norm_layer, normal_attr, transposed_convolution


class _Level(nn.Layer):
    """Halves, passes on to the inner level, doubles, and puts its input beside the result."""

    def __init__(self, outer: int, inner: int, inner_level: nn.Layer | None, norm_type: str, dropout: bool = False):
        super().__init__()
        biased = norm_type == "instance"
        down = [nn.LeakyReLU(0.2), _halving(outer, inner, biased)]
        if inner_level is not None:                                  # the innermost is one pixel: nothing to normalise
            down += [norm_layer(norm_type, inner), inner_level]
        widened = inner if inner_level is None else 2 * inner        # by the inner level's skip connection
        up = [nn.ReLU(), _doubling(widened, outer, biased), norm_layer(norm_type, outer)]
        self.model = nn.Sequential(*down, *up, *([Dropout(0.5)] if dropout else []))

    def forward(self, x):
        return paddle.concat([x, self.model(x)], 1)


class _Outermost(nn.Layer):
    """The level that sees and makes pictures."""

    def __init__(self, input_nc: int, output_nc: int, ngf: int, inner_level: nn.Layer, biased: bool):
        super().__init__()
        self.model = nn.Sequential(_halving(input_nc, ngf, biased), inner_level, nn.ReLU(),
                                   _doubling(2 * ngf, output_nc, True), nn.Tanh())

    def forward(self, x):
        return self.model(x)


def _halving(inputs: int, outputs: int, biased: bool) -> nn.Conv2D:
    return convolution(inputs, outputs, 4, 2, 1, weight_attr=normal_attr(), biased=biased)


def _doubling(inputs: int, outputs: int, biased: bool) -> nn.Conv2DTranspose:
    return transposed_convolution(inputs, outputs, 4, 2, 1, weight_attr=normal_attr(), biased=biased)


class UnetGenerator(nn.Layer):
    """Images [N, input_nc, H, W] to [N, output_nc, H, W], both in [-1, 1]; H and W are multiples of 2 ** num_downs.

    Args:
        num_downs: how often the size is halved; 8 takes 256 pixels to one. At least 5.
        ngf: feature maps of the outermost level; the inner ones have 2, 4 and then 8 times as many.
        norm_type: "batch" (published; statistics of the batch at hand, see BatchStatisticsNorm), "instance" or "none".
        use_dropout: half of the inner levels' values are dropped in training, the paper's only noise.
    Weights start as N(0, 0.02). Raises ValueError for fewer than five halvings or an unknown norm.
    """

    def __init__(self, num_downs: int = 8, ngf: int = 64, *, input_nc: int = 3, output_nc: int = 3,
                 norm_type: str = "batch", use_dropout: bool = False):
        super().__init__()
        if num_downs < 5:
            raise ValueError(f"A U-Net halves its input at least 5 times, not {num_downs}.")
        self.arguments = {"num_downs": num_downs, "ngf": ngf, "input_nc": input_nc, "output_nc": output_nc,
                          "norm_type": norm_type, "use_dropout": use_dropout}
        level = _Level(8 * ngf, 8 * ngf, None, norm_type)
        for _ in range(num_downs - 5):
            level = _Level(8 * ngf, 8 * ngf, level, norm_type, use_dropout)
        for width in (4, 2, 1):
            level = _Level(width * ngf, 2 * width * ngf, level, norm_type)
        self.model = _Outermost(input_nc, output_nc, ngf, level, norm_type == "instance")

    def forward(self, x):
        return self.model(x)
