"""Photo2Cartoon's generator: U-GAT-IT with hourglasses and soft AdaLIN (minivision-ai/photo2cartoon).

Published attribute names: DownBlock, EncodeBlock1 ..., gap_fc, gmp_fc, conv1x1, FC, DecodeBlock1 ..., UpBlock.
"""
from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from .layers import (
    LIN,
    AdaLIN,
    BiasedConv2D,
    ReflectionPad,
    ResidualBlock,
    RowsConv2D,
    bias_attr,
    class_activation_map,
    plain_instance_norm,
    start_normal,
)
from .ugatit import style_features, style_network

HOURGLASS_DEPTH = 4                          # halvings inside an hourglass


class PyramidBlock(nn.Layer):
    """Three chained convolutions that make a half, a quarter and a quarter of the channels, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_block1 = _pre_activated(channels, channels // 2)
        self.conv_block2 = _pre_activated(channels // 2, channels // 4)
        self.conv_block3 = _pre_activated(channels // 4, channels // 4)

    def forward(self, x):
        half = self.conv_block1(x)
        quarter = self.conv_block2(half)
        return x + paddle.concat([half, quarter, self.conv_block3(quarter)], 1)


def _pre_activated(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(plain_instance_norm(inputs), nn.ReLU(), ReflectionPad(1),
                         nn.Conv2D(inputs, outputs, 3, bias_attr=False))


class HourglassBody(nn.Layer):
    """Four halvings and four doublings, with a skip connection at each size."""

    def __init__(self, channels: int):
        super().__init__()
        for index in range(1, HOURGLASS_DEPTH + 1):
            setattr(self, f"ConvBlockskip{index}", PyramidBlock(channels))
        for index in range(1, 2 * HOURGLASS_DEPTH + 2):
            setattr(self, f"ConvBlock{index}", PyramidBlock(channels))

    def forward(self, x):
        skips = []
        for index in range(1, HOURGLASS_DEPTH + 1):
            skips.append(getattr(self, f"ConvBlockskip{index}")(x))
            x = getattr(self, f"ConvBlock{index}")(F.avg_pool2d(x, 2))
        x = getattr(self, f"ConvBlock{HOURGLASS_DEPTH + 1}")(x)
        for index in range(HOURGLASS_DEPTH + 2, 2 * HOURGLASS_DEPTH + 2):
            x = skips.pop() + F.interpolate(getattr(self, f"ConvBlock{index}")(x), scale_factor=2, mode="nearest")
        return x


class Hourglass(nn.Layer):
    """An hourglass that also makes a picture: fed back into the features, or returned by the last one."""

    def __init__(self, channels: int, returns_picture: bool = False):
        super().__init__()
        self.HG = nn.Sequential(HourglassBody(channels), PyramidBlock(channels),
                                nn.Conv2D(channels, channels, 1, bias_attr=False), plain_instance_norm(channels),
                                nn.ReLU())
        self.Conv1 = BiasedConv2D(channels, 3, 1)
        self.returns_picture = returns_picture
        if not returns_picture:
            self.Conv2 = BiasedConv2D(channels, channels, 1)
            self.Conv3 = BiasedConv2D(3, channels, 1)

    def forward(self, x):
        features = self.HG(x)
        picture = self.Conv1(features)                               # [N, 3, H, W]
        return picture if self.returns_picture else x + self.Conv2(features) + self.Conv3(picture)


class SoftAdaLIN(nn.Layer):
    """AdaLIN whose scale and shift mix the style's with those of the encoder's features, by ratios learned from 0."""

    def __init__(self, channels: int, biased: bool = False):
        super().__init__()
        self.norm = AdaLIN(channels)
        for name in ("w_gamma", "w_beta"):
            setattr(self, name, self.create_parameter([1, channels], default_initializer=nn.initializer.Constant(0.0)))
        self.c_gamma, self.c_beta = _two_linears(channels, biased), _two_linears(channels, biased)
        self.s_gamma = nn.Linear(channels, channels, bias_attr=bias_attr(biased))
        self.s_beta = nn.Linear(channels, channels, bias_attr=bias_attr(biased))

    def forward(self, x, content, style):
        gamma = (1 - self.w_gamma) * self.s_gamma(style) + self.w_gamma * self.c_gamma(content)   # [N, C]
        beta = (1 - self.w_beta) * self.s_beta(style) + self.w_beta * self.c_beta(content)
        return self.norm(x, gamma, beta)


def _two_linears(channels: int, biased: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, channels, bias_attr=bias_attr(biased)), nn.ReLU(),
                         nn.Linear(channels, channels, bias_attr=bias_attr(biased)))


class SoftAdaLINBlock(nn.Layer):
    """Residual block of the decoder."""

    def __init__(self, channels: int, biased: bool = False):
        super().__init__()
        self.pad1 = ReflectionPad(1)
        self.conv1 = nn.Conv2D(channels, channels, 3, bias_attr=False)
        self.norm1 = SoftAdaLIN(channels, biased)
        self.pad2 = ReflectionPad(1)
        self.conv2 = nn.Conv2D(channels, channels, 3, bias_attr=False)
        self.norm2 = SoftAdaLIN(channels, biased)

    def forward(self, x, content, style):
        out = F.relu(self.norm1(self.conv1(self.pad1(x)), content, style))
        return x + self.norm2(self.conv2(self.pad2(out)), content, style)


class Photo2CartoonGenerator(nn.Layer):
    """Portraits, white around the head, to (cartoon, cam_logits [N, 2], heatmap [N, 1, img_size / 4, img_size / 4]).

    Pictures are [N, 3, img_size, img_size] in [-1, 1].

    Args:
        ngf: feature maps at full size, a multiple of 4.
        img_size: pixels, a multiple of 16; only the variant that is not light is bound to it.
        n_blocks: residual blocks of the encoder, and again of the decoder.
        light: the style comes from the features' mean instead of all of them.
        biased: Linears have a bias, as in the PyTorch original; PaddleGAN's have none.
    Weights start as N(0, 0.02), as in PaddleGAN's trainings. From Paddle's own He normal they do not learn: the
    hourglasses' branches outweigh what they are added to, and through two such networks the cycle's gradient is
    hundreds of times larger (206 instead of 0.4 at 64 px), so that every step is noise and outputs end at -1 and 1.
    """

    def __init__(self, ngf: int = 32, img_size: int = 256, n_blocks: int = 4, light: bool = True, *, input_nc: int = 3,
                 output_nc: int = 3, biased: bool = False):
        super().__init__()
        self.arguments = {"ngf": ngf, "img_size": img_size, "n_blocks": n_blocks, "light": light, "input_nc": input_nc,
                          "output_nc": output_nc, "biased": biased}
        self.n_blocks, self.light = n_blocks, light
        wide = 4 * ngf
        down = [ReflectionPad(3), nn.Conv2D(input_nc, ngf, 7, bias_attr=False), plain_instance_norm(ngf),
                nn.ReLU(), Hourglass(ngf), Hourglass(ngf)]
        for width in (ngf, 2 * ngf):
            down += [ReflectionPad(1), nn.Conv2D(width, 2 * width, 3, 2, bias_attr=False),
                     plain_instance_norm(2 * width), nn.ReLU()]
        self.DownBlock = nn.Sequential(*down)
        for block in range(1, n_blocks + 1):
            setattr(self, f"EncodeBlock{block}", ResidualBlock(wide, plain_instance_norm))
            setattr(self, f"DecodeBlock{block}", SoftAdaLINBlock(wide, biased))
        self.gap_fc = nn.Linear(wide, 1, bias_attr=bias_attr(biased))
        self.gmp_fc = nn.Linear(wide, 1, bias_attr=bias_attr(biased))
        self.conv1x1 = nn.Conv2D(2 * wide, wide, 1)
        self.FC = style_network(wide, None if light else (img_size // 4) ** 2, biased)
        up = []
        for width in (wide, wide // 2):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), ReflectionPad(1),
                   nn.Conv2D(width, width // 2, 3, bias_attr=False), LIN(width // 2), nn.ReLU()]
        up += [Hourglass(ngf), Hourglass(ngf, returns_picture=True), ReflectionPad(3),
               RowsConv2D(3, output_nc, 7, bias_attr=False), nn.Tanh()]
        self.UpBlock = nn.Sequential(*up)
        start_normal(self)

    def forward(self, x):
        x = self.DownBlock(x)                                        # [N, 4 * ngf, H / 4, W / 4]
        contents = []
        for block in range(1, self.n_blocks + 1):
            x = getattr(self, f"EncodeBlock{block}")(x)
            contents.append(x.mean([2, 3]))                          # [N, 4 * ngf]
        x, cam_logits = class_activation_map(x, self.gap_fc, self.gmp_fc, self.conv1x1)
        x = F.relu(x)
        heatmap = x.sum(1, keepdim=True)                             # [N, 1, H / 4, W / 4]
        style = style_features(self.FC, x, self.light)
        last = min(self.n_blocks, 4) - 1        # published for four blocks: the decoder meets the encoder's in reverse
        for block in range(self.n_blocks):
            x = getattr(self, f"DecodeBlock{block + 1}")(x, contents[last - block], style)
        return self.UpBlock(x), cam_logits, heatmap
