"""ResNet generator of CycleGAN (Zhu et al. 2017, section 7.2); published attribute name: `model`."""
from __future__ import annotations

import functools

import paddle.nn as nn

from .layers import (
    ReflectionPad,
    ResidualBlock,
    convolution,
    norm_layer,
    normal_attr,
    transposed_convolution,
)


class ResnetGenerator(nn.Layer):
    """Images [N, input_nc, H, W] in [-1, 1] to [N, output_nc, H, W] in [-1, 1]; H and W are multiples of 4.

    Args:
        ngf: feature maps at full size; the residual blocks have four times as many.
        n_blocks: residual blocks; 9 for 256 pixels, 6 for 128.
        norm_type: "instance" (published; convolutions then have a bias), "batch" or "none".
        use_dropout: drops half of the values inside the blocks in training.
        padding_type: of the residual blocks, "reflect", "replicate" or "zero".
    Weights start as N(0, 0.02). Raises ValueError for an unknown norm or padding.
    """

    def __init__(self, ngf: int = 64, n_blocks: int = 9, *, input_nc: int = 3, output_nc: int = 3,
                 norm_type: str = "instance", use_dropout: bool = False, padding_type: str = "reflect"):
        super().__init__()
        self.arguments = {"ngf": ngf, "n_blocks": n_blocks, "input_nc": input_nc, "output_nc": output_nc,
                          "norm_type": norm_type, "use_dropout": use_dropout, "padding_type": padding_type}
        norm = functools.partial(norm_layer, norm_type)
        start = {"weight_attr": normal_attr(), "biased": norm_type == "instance"}
        layers = [ReflectionPad(3), convolution(input_nc, ngf, 7, **start), norm(ngf), nn.ReLU()]
        for width in (ngf, 2 * ngf):
            layers += [convolution(width, 2 * width, 3, 2, 1, **start), norm(2 * width), nn.ReLU()]
        layers += [ResidualBlock(4 * ngf, norm, norm_type == "instance", normal_attr(), use_dropout, padding_type)
                   for _ in range(n_blocks)]
        for width in (4 * ngf, 2 * ngf):
            layers += [transposed_convolution(width, width // 2, 3, 2, 1, output_padding=1, **start),
                       norm(width // 2), nn.ReLU()]
        layers += [ReflectionPad(3), convolution(ngf, output_nc, 7, weight_attr=normal_attr()), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)
