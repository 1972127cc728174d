"""U-GAT-IT: generator and discriminator (Kim et al. 2020, "U-GAT-IT", appendix table 5).

Published attribute names: DownBlock, gap_fc, gmp_fc, conv1x1, FC, gamma, beta, UpBlock1_1 ..., UpBlock2 in the
generator; model, gap_fc, gmp_fc, conv1x1, conv in the discriminator. Both also return the auxiliary classifier's logits
and a heatmap.
"""
from __future__ import annotations

import functools

import paddle.nn as nn
import paddle.nn.functional as F

from .layers import (
    LIN,
    AdaLIN,
    ReflectionPad,
    ResidualBlock,
    RowsConv2D,
    SpectralConv2D,
    SpectralLinear,
    bias_attr,
    class_activation_map,
    norm_layer,
)


def style_network(channels: int, pixels: int | None, biased: bool = False) -> nn.Sequential:
    """Two Linears with ReLU that make a style [N, channels] from features of `pixels` values per channel, all of them,
    or from their mean when `pixels` is None (the light variant)."""
    inputs = channels if pixels is None else channels * pixels
    return nn.Sequential(nn.Linear(inputs, channels, bias_attr=bias_attr(biased)), nn.ReLU(),
                         nn.Linear(channels, channels, bias_attr=bias_attr(biased)), nn.ReLU())


def style_features(network: nn.Sequential, x, light: bool):
    """The style [N, C] of features x [N, C, H, W]."""
    if light:
        x = F.adaptive_avg_pool2d(x, 1)
    return network(x.reshape([x.shape[0], -1]))


class AdaLINBlock(nn.Layer):
    """Residual block whose norms take scale and shift from the style."""

    def __init__(self, channels: int):
        super().__init__()
        self.pad1 = ReflectionPad(1)
        self.conv1 = nn.Conv2D(channels, channels, 3, bias_attr=False)
        self.norm1 = AdaLIN(channels)
        self.pad2 = ReflectionPad(1)
        self.conv2 = nn.Conv2D(channels, channels, 3, bias_attr=False)
        self.norm2 = AdaLIN(channels)

    def forward(self, x, gamma, beta):
        out = F.relu(self.norm1(self.conv1(self.pad1(x)), gamma, beta))
        return x + self.norm2(self.conv2(self.pad2(out)), gamma, beta)


class UGATITGenerator(nn.Layer):
    """Images to (image of the other domain, cam_logits [N, 2], heatmap [N, 1, img_size / 4, img_size / 4]).

    Images are [N, channels, img_size, img_size] in [-1, 1].

    Args:
        ngf: feature maps at full size.
        n_blocks: residual blocks in the encoder, and again in the decoder.
        img_size: pixels, a multiple of 4; only the full variant is bound to it.
        light: the style comes from the features' mean, not from all of them (10.6 M instead of 278 M parameters).
        norm_type: of the encoder, "instance", "batch" or "none".
    Weights start as Paddle's own: He normal convolutions, Glorot uniform Linears.
    """

    def __init__(self, ngf: int = 64, n_blocks: int = 4, img_size: int = 256, light: bool = False, *, input_nc: int = 3,
                 output_nc: int = 3, norm_type: str = "instance"):
        super().__init__()
        self.arguments = {"ngf": ngf, "n_blocks": n_blocks, "img_size": img_size, "light": light, "input_nc": input_nc,
                          "output_nc": output_nc, "norm_type": norm_type}
        self.n_blocks, self.light = n_blocks, light
        norm = functools.partial(norm_layer, norm_type)
        wide = 4 * ngf
        down = [ReflectionPad(3), nn.Conv2D(input_nc, ngf, 7, bias_attr=False), norm(ngf), nn.ReLU()]
        for width in (ngf, 2 * ngf):
            down += [ReflectionPad(1), nn.Conv2D(width, 2 * width, 3, 2, bias_attr=False), norm(2 * width),
                     nn.ReLU()]
        self.DownBlock = nn.Sequential(*down, *[ResidualBlock(wide, norm) for _ in range(n_blocks)])
        self.gap_fc = nn.Linear(wide, 1, bias_attr=False)
        self.gmp_fc = nn.Linear(wide, 1, bias_attr=False)
        self.conv1x1 = nn.Conv2D(2 * wide, wide, 1)
        self.FC = style_network(wide, None if light else (img_size // 4) ** 2)
        self.gamma = nn.Linear(wide, wide, bias_attr=False)
        self.beta = nn.Linear(wide, wide, bias_attr=False)
        for block in range(1, n_blocks + 1):
            setattr(self, f"UpBlock1_{block}", AdaLINBlock(wide))
        up = []
        for width in (wide, wide // 2):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), ReflectionPad(1),
                   nn.Conv2D(width, width // 2, 3, bias_attr=False), LIN(width // 2), nn.ReLU()]
        up += [ReflectionPad(3), RowsConv2D(ngf, output_nc, 7, bias_attr=False), nn.Tanh()]
        self.UpBlock2 = nn.Sequential(*up)

    def forward(self, x):
        x = self.DownBlock(x)                                        # [N, 4 * ngf, H / 4, W / 4]
        x, cam_logits = class_activation_map(x, self.gap_fc, self.gmp_fc, self.conv1x1)
        x = F.relu(x)
        heatmap = x.sum(1, keepdim=True)                             # [N, 1, H / 4, W / 4]
        style = style_features(self.FC, x, self.light)
        gamma, beta = self.gamma(style), self.beta(style)            # [N, 4 * ngf]
        for block in range(1, self.n_blocks + 1):
            x = getattr(self, f"UpBlock1_{block}")(x, gamma, beta)
        return self.UpBlock2(x), cam_logits, heatmap


class UGATITDiscriminator(nn.Layer):
    """Images [N, input_nc, H, W] in [-1, 1] to (logits per patch [N, 1, h, w], cam_logits [N, 2], heatmap).

    Args:
        ndf: feature maps of the first layer.
        n_layers: 5 is the local discriminator, 7 the global one.
    Every layer but `conv1x1` is spectrally normalised; the channels are weighted by the classifiers' raw weights.
    Weights start as Paddle's own.
    """

    def __init__(self, ndf: int = 64, n_layers: int = 5, *, input_nc: int = 3):
        super().__init__()
        self.arguments = {"ndf": ndf, "n_layers": n_layers, "input_nc": input_nc}
        widths = [input_nc, *[ndf * 2 ** layer for layer in range(n_layers - 2)]]
        layers = []
        for narrow, wide in zip(widths[:-1], widths[1:], strict=True):
            layers += [ReflectionPad(1), SpectralConv2D(narrow, wide, 4, 2), nn.LeakyReLU(0.2)]
        wide = 2 * widths[-1]
        layers += [ReflectionPad(1), SpectralConv2D(widths[-1], wide, 4), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers)
        self.gap_fc = SpectralLinear(wide, 1, biased=False)
        self.gmp_fc = SpectralLinear(wide, 1, biased=False)
        self.conv1x1 = nn.Conv2D(2 * wide, wide, 1)
        self.pad = ReflectionPad(1)
        self.conv = SpectralConv2D(wide, 1, 4, biased=False)

    def forward(self, x):
        x = self.model(x)
        x, cam_logits = class_activation_map(x, self.gap_fc, self.gmp_fc, self.conv1x1)
        x = F.leaky_relu(x, 0.2)
        heatmap = x.sum(1, keepdim=True)
        return self.conv(self.pad(x)), cam_logits, heatmap
