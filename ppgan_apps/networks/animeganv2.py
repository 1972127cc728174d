"""Generators of AnimeGANv2 (Chen and Liu 2020), full and lite; published attribute names: `A` to `E` and `out`."""
from __future__ import annotations

import paddle.nn as nn

from .animegan import AnimeGANDiscriminator
from .layers import convolution, normal_attr

AnimeGANv2Discriminator = AnimeGANDiscriminator          # both versions train against the same one


def layer_norm(channels: int) -> nn.GroupNorm:
    """Normalises each image over channels and pixels, with a scale and shift per channel: a group norm of one group."""
    return nn.GroupNorm(1, channels)


class ConvNormLReLU(nn.Layer):
    """Convolution without bias, layer normalisation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1, padding: int = 1):
        super().__init__()
        self.conv = nn.Conv2D(inputs, outputs, kernel_size, stride, padding, weight_attr=normal_attr(), bias_attr=False)
        self.norm = layer_norm(outputs)
        self.lrelu = nn.LeakyReLU(0.2)

    def forward(self, x):
        return self.lrelu(self.norm(self.conv(x)))


class InvertedBlock(nn.Layer):
    """MobileNet's inverted bottleneck: widen, depthwise 3x3, narrow.

    The published weights belong to a graph that computes a skip connection and discards it, so there is none. Its
    padding sits on the first, 1x1 convolution; the depthwise one has none.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int = 2):
        super().__init__()
        wide = expansion * inputs
        self.body = nn.Sequential(
            ConvNormLReLU(inputs, wide, 1),
            convolution(wide, wide, 3, groups=wide, weight_attr=normal_attr()),
            layer_norm(wide), nn.LeakyReLU(0.2),
            nn.Conv2D(wide, outputs, 1, weight_attr=normal_attr(), bias_attr=False), layer_norm(outputs))

    def forward(self, x):
        return self.body(x)


class LiteBlock(nn.Layer):
    """The lite generator's residual block."""

    def __init__(self, channels: int):
        super().__init__()
        wide = 2 * channels
        self.body = nn.Sequential(ConvNormLReLU(channels, wide, 1, padding=0), ConvNormLReLU(wide, wide),
                                  nn.Conv2D(wide, channels, 1, weight_attr=normal_attr(), bias_attr=False))

    def forward(self, x):
        return x + self.body(x)


def _doubling() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear")


class AnimeGANv2Generator(nn.Layer):
    """Photos [N, 3, H, W] in [-1, 1] to anime [N, 3, H, W] in [-1, 1], for H and W that are multiples of 4.

    Other sizes come out enlarged to the next multiple of 4. `lite` is the smaller published variant.
    Weights start as N(0, 0.02).
    """

    def __init__(self, lite: bool = False):
        super().__init__()
        self.arguments = {"lite": lite}
        unit = ConvNormLReLU
        wide = 32 if lite else 64                                    # feature maps at half size
        self.A = nn.Sequential(unit(3, 32, 7, padding=3), unit(32, wide, stride=2), unit(wide, wide))
        self.B = nn.Sequential(unit(wide, 2 * wide, stride=2), unit(2 * wide, 2 * wide), unit(2 * wide, 2 * wide))
        if lite:
            self.C = nn.Sequential(*[LiteBlock(64) for _ in range(4)])
            self.D = nn.Sequential(_doubling(), unit(64, 64), unit(64, 64), unit(64, 64))
            self.E = nn.Sequential(_doubling(), unit(64, 32), unit(32, 32), unit(32, 32, 7, padding=3))
        else:
            self.C = nn.Sequential(InvertedBlock(128, 256), InvertedBlock(256, 256), InvertedBlock(256, 256),
                                   InvertedBlock(256, 256), unit(256, 128))
            self.D = nn.Sequential(_doubling(), unit(128, 128), unit(128, 128))
            self.E = nn.Sequential(_doubling(), unit(128, 64), unit(64, 64), unit(64, 32, 7, padding=3))
        self.out = nn.Sequential(nn.Conv2D(32, 3, 1, weight_attr=normal_attr(), bias_attr=False), nn.Tanh())

    def forward(self, x):
        for part in (self.A, self.B, self.C, self.D, self.E, self.out):
            x = part(x)
        return x
