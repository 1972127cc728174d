"""Generator and discriminator of CartoonGAN (Chen, Lai and Liu 2018, figure 2 and section 3.1)."""
from __future__ import annotations

import paddle.nn as nn

from .layers import ReflectionPad, ResidualBlock, convolution, normal_attr, transposed_convolution


class CartoonGANGenerator(nn.Layer):
    """Photos [N, 3, H, W] in [-1, 1] to cartoons [N, 3, H, W] in [-1, 1], for H and W that are multiples of 4.

    One flat, two down-convolution blocks, `n_blocks` residual ones and two up-convolution blocks; 11,129,667
    parameters, among them scale and shift of the norms, which are by instance as in the authors' model. Weights start
    as N(0, 0.02).

    Args:
        ngf: feature maps at full size.
        n_blocks: residual blocks.
    """

    def __init__(self, ngf: int = 64, n_blocks: int = 8):
        super().__init__()
        self.arguments = {"ngf": ngf, "n_blocks": n_blocks}
        down = [ReflectionPad(3), _convolution(3, ngf, 7), nn.InstanceNorm2D(ngf), nn.ReLU()]
        for width in (ngf, 2 * ngf):
            down += [_convolution(width, 2 * width, 3, 2, 1), _convolution(2 * width, 2 * width, 3, 1, 1),
                     nn.InstanceNorm2D(2 * width), nn.ReLU()]
        self.down = nn.Sequential(*down)
        self.blocks = nn.Sequential(*[ResidualBlock(4 * ngf, nn.InstanceNorm2D, True, normal_attr())
                                      for _ in range(n_blocks)])
        up = []
        for width in (4 * ngf, 2 * ngf):
            narrow = width // 2
            up += [transposed_convolution(width, narrow, 3, 2, 1, output_padding=1, weight_attr=normal_attr()),
                   _convolution(narrow, narrow, 3, 1, 1), nn.InstanceNorm2D(narrow), nn.ReLU()]
        self.up = nn.Sequential(*up, ReflectionPad(3), _convolution(ngf, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.up(self.blocks(self.down(x)))


class CartoonGANDiscriminator(nn.Layer):
    """Images [N, 3, H, W] in [-1, 1] to one logit per patch, [N, 1, H / 4, W / 4].

    Args:
        ndf: feature maps of the first layer.
    It is shallow because a cartoon's edges are local. Weights start as N(0, 0.02).
    """

    def __init__(self, ndf: int = 32):
        super().__init__()
        self.arguments = {"ndf": ndf}
        layers = [_convolution(3, ndf, 3, 1, 1), nn.LeakyReLU(0.2)]
        inputs = ndf
        for width in (2 * ndf, 4 * ndf):
            layers += [_convolution(inputs, width, 3, 2, 1), nn.LeakyReLU(0.2),
                       _convolution(width, 2 * width, 3, 1, 1), nn.InstanceNorm2D(2 * width), nn.LeakyReLU(0.2)]
            inputs = 2 * width
        layers += [_convolution(inputs, inputs, 3, 1, 1), nn.InstanceNorm2D(inputs), nn.LeakyReLU(0.2),
                   _convolution(inputs, 1, 3, 1, 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


def _convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0) -> nn.Conv2D:
    return convolution(inputs, outputs, kernel_size, stride, padding, weight_attr=normal_attr())
