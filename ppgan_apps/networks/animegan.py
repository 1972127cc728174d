"""Generator of AnimeGAN, and the discriminator of AnimeGAN and AnimeGANv2 (Chen et al. 2020).

Published attribute names of the discriminator: `body`, `head`.
"""
from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from ..sharing import dropout
from .layers import ReflectionPad, SpectralConv2D, normal_attr


class AnimeGANDiscriminator(nn.Layer):
    """Images [N, 3, H, W] in [-1, 1] to one logit per patch, [N, 1, H / 4, W / 4].

    Args:
        channel: twice the feature maps of the first layer.
        nblocks: 3 halves the size twice; each block more halves it once more.
        norm_type: "layer" (AnimeGANv2, the published weights) or "instance" (AnimeGAN).
        dropout: share of the feature maps before the head that are left out in training.
    Spectrally normalised convolutions, started as N(0, 0.02). Raises ValueError for an unknown norm.
    """

    def __init__(self, channel: int = 64, nblocks: int = 3, norm_type: str = "layer", dropout: float = 0.0):
        super().__init__()
        self.arguments = {"channel": channel, "nblocks": nblocks, "norm_type": norm_type, "dropout": dropout}
        norms = {"layer": lambda channels: nn.GroupNorm(1, channels), "instance": nn.InstanceNorm2D}
        if norm_type not in norms:
            raise ValueError(f'norm_type is "layer" or "instance", not "{norm_type}".')
        norm, self.dropout = norms[norm_type], dropout
        width = last = channel // 2
        layers = [_convolution(3, width), nn.LeakyReLU(0.2)]
        for _ in range(1, nblocks):
            layers += [_convolution(last, 2 * width, stride=2), nn.LeakyReLU(0.2), _convolution(2 * width, 4 * width),
                       norm(4 * width), nn.LeakyReLU(0.2)]
            last, width = 4 * width, 2 * width
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(_convolution(last, 2 * width), norm(2 * width), nn.LeakyReLU(0.2),
                                  _convolution(2 * width, 1))

    def forward(self, x):
        features = self.body(x)                                      # [N, 4 * channel, H / 4, W / 4]
        if self.dropout:
            features = dropout(features, self.dropout, self.training, whole_maps=True)
        return self.head(features)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> SpectralConv2D:
    start = nn.initializer.Normal(0.0, 0.02)
    return SpectralConv2D(inputs, outputs, 3, stride, padding=1, biased=False, initializer=start)


class ConvBlock(nn.Sequential):
    """Convolution without bias, instance normalisation, leaky ReLU; 3x3 ones mirror the border."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3):
        super().__init__(*_mirrored(kernel_size), _plain_convolution(inputs, outputs, kernel_size),
                         nn.InstanceNorm2D(outputs), nn.LeakyReLU(0.2))


class DSConv(nn.Sequential):
    """Depthwise separable convolution: 3x3 on each map, 1x1 over the maps; instance normalisation, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        depthwise = nn.Conv2D(inputs, inputs, 3, stride, groups=inputs, weight_attr=normal_attr(), bias_attr=False)
        super().__init__(*_mirrored(3), depthwise, _plain_convolution(inputs, outputs, 1),
                         nn.InstanceNorm2D(outputs), nn.LeakyReLU(0.2))


class DownConv(nn.Layer):
    """Half the size: a separable convolution with stride 2, plus one of the picture resized to half (figure 2)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.strided, self.resized = DSConv(inputs, outputs, stride=2), DSConv(inputs, outputs)

    def forward(self, x):
        return self.strided(x) + self.resized(F.interpolate(x, scale_factor=0.5, mode="bilinear"))


class UpConv(nn.Sequential):
    """Twice the size by resizing, then a separable convolution: no checkerboard."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.Upsample(scale_factor=2, mode="bilinear"), DSConv(inputs, outputs))


class InvertedResidual(nn.Layer):
    """x + narrow(depthwise(widen(x))), each step with instance normalisation (MobileNetV2's block)."""

    def __init__(self, channels: int, expansion: int = 2):
        super().__init__()
        wide = expansion * channels
        depthwise = nn.Conv2D(wide, wide, 3, groups=wide, weight_attr=normal_attr(), bias_attr=False)
        self.body = nn.Sequential(ConvBlock(channels, wide, 1),
                                  *_mirrored(3), depthwise, nn.InstanceNorm2D(wide), nn.LeakyReLU(0.2),
                                  _plain_convolution(wide, channels, 1), nn.InstanceNorm2D(channels))

    def forward(self, x):
        return x + self.body(x)


class AnimeGANGenerator(nn.Layer):
    """Photos [N, 3, H, W] in [-1, 1] to anime [N, 3, H, W] in [-1, 1], for H and W that are multiples of 4.

    Separable convolutions and inverted residual blocks (figure 1), 3,956,096 parameters, started as N(0, 0.02). Other
    sizes raise Paddle's ValueError.

    Args:
        channel: feature maps at full size; 64 is the paper's.
        n_blocks: inverted residual blocks.
    """

    def __init__(self, channel: int = 64, n_blocks: int = 8):
        super().__init__()
        self.arguments = {"channel": channel, "n_blocks": n_blocks}
        full, half, quarter = channel, 2 * channel, 4 * channel
        self.encoder = nn.Sequential(ConvBlock(3, full), ConvBlock(full, full), DownConv(full, half),
                                     ConvBlock(half, half), DSConv(half, half), DownConv(half, quarter))
        self.middle = nn.Sequential(ConvBlock(quarter, quarter), *[InvertedResidual(quarter) for _ in range(n_blocks)],
                                    ConvBlock(quarter, quarter))
        self.decoder = nn.Sequential(UpConv(quarter, half), DSConv(half, half), ConvBlock(half, half),
                                     UpConv(half, half), ConvBlock(half, full), ConvBlock(full, full))
        self.out = _plain_convolution(full, 3, 1)

    def forward(self, x):
        x = self.middle(self.encoder(x))                             # [N, 4 * channel, H / 4, W / 4]
        return paddle.tanh(self.out(self.decoder(x)))


def _mirrored(kernel_size: int) -> list[nn.Layer]:
    return [ReflectionPad(kernel_size // 2)] if kernel_size > 1 else []


def _plain_convolution(inputs: int, outputs: int, kernel_size: int) -> nn.Conv2D:
    return nn.Conv2D(inputs, outputs, kernel_size, weight_attr=normal_attr(), bias_attr=False)
