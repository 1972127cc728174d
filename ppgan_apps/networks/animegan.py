"""Discriminator of AnimeGAN and AnimeGANv2 (Chen et al. 2020); published attribute names: `body`, `head`."""
from __future__ import annotations

import paddle.nn as nn

from .layers import SpectralConv2D


class AnimeGANDiscriminator(nn.Layer):
    """Images [N, 3, H, W] in [-1, 1] to one logit per patch, [N, 1, H / 4, W / 4].

    Args:
        channel: twice the feature maps of the first layer.
        nblocks: 3 halves the size twice; each block more halves it once more.
    Spectrally normalised convolutions, started as N(0, 0.02), and layer normalisation.
    """

    def __init__(self, channel: int = 64, nblocks: int = 3):
        super().__init__()
        self.arguments = {"channel": channel, "nblocks": nblocks}
        width = last = channel // 2
        layers = [_convolution(3, width), nn.LeakyReLU(0.2)]
        for _ in range(1, nblocks):
            layers += [_convolution(last, 2 * width, stride=2), nn.LeakyReLU(0.2), _convolution(2 * width, 4 * width),
                       nn.GroupNorm(1, 4 * width), nn.LeakyReLU(0.2)]
            last, width = 4 * width, 2 * width
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(_convolution(last, 2 * width), nn.GroupNorm(1, 2 * width), nn.LeakyReLU(0.2),
                                  _convolution(2 * width, 1))

    def forward(self, x):
        return self.head(self.body(x))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> SpectralConv2D:
    start = nn.initializer.Normal(0.0, 0.02)
    return SpectralConv2D(inputs, outputs, 3, stride, padding=1, biased=False, initializer=start)
