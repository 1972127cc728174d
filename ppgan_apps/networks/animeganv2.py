"""Generators of AnimeGANv2 (Chen and Liu 2020), full and lite; published attribute names: `A` to `E` and `out`.

Weights are published for three graphs that differ in padding, skip connections, norms and upsampling: the arguments of
AnimeGANv2Generator say which one is meant. The defaults are PaddleGAN's.
"""
from __future__ import annotations

import functools

import paddle
import paddle.nn as nn

from .animegan import AnimeGANDiscriminator
from .layers import EPSILON, ReflectionPad, RowsConv2D, convolution, normal_attr

AnimeGANv2Discriminator = AnimeGANDiscriminator          # both versions train against the same one

PADDINGS = ("zero", "reflect")
# Where a doubled picture's pixels lie in the smaller one (the names are ONNX's), as Paddle's arguments.
UPSAMPLINGS = {"half_pixel": {}, "align_corners": {"align_corners": True}, "asymmetric": {"align_mode": 1}}


def layer_norm(channels: int, epsilon: float = EPSILON) -> nn.GroupNorm:
    """Normalises each image over channels and pixels, with a scale and shift per channel: a group norm of one group."""
    return nn.GroupNorm(1, channels, epsilon)


class ReflectBelowRight(nn.Layer):
    """Mirrors one pixel below and one on the right: TensorFlow's share of a strided 3x3 convolution's padding."""

    def forward(self, x):
        for axis in (2, 3):
            x = paddle.concat([x, paddle.slice(x, [axis], [-2], [-1])], axis)
        return x


class ConvNormLReLU(nn.Layer):
    """Convolution without bias, layer normalisation, leaky ReLU.

    With `padding_type` "reflect" the picture is mirrored beyond its border by `padding` pixels; where the stride is 2,
    by one below and on the right only. The convolution itself stays a plain one.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1, padding: int = 1,
                 padding_type: str = "zero", epsilon: float = EPSILON):
        super().__init__()
        self.pad = None
        if padding_type == "reflect" and padding:
            self.pad, padding = ReflectBelowRight() if stride == 2 else ReflectionPad(padding), 0
        kind = RowsConv2D if kernel_size > 3 and inputs > 3 else nn.Conv2D
        self.conv = kind(inputs, outputs, kernel_size, stride, padding, weight_attr=normal_attr(), bias_attr=False)
        self.norm = layer_norm(outputs, epsilon)
        self.lrelu = nn.LeakyReLU(0.2)

    def forward(self, x):
        if self.pad is not None:
            x = self.pad(x)
        return self.lrelu(self.norm(self.conv(x)))


class InvertedBlock(nn.Layer):
    """MobileNet's inverted bottleneck: widen, depthwise 3x3, narrow.

    PaddleGAN's weights belong to a graph that computes a skip connection and discards it: `skip` adds it where inputs
    and outputs are as many. Its zero-padding sits on the first, 1x1 convolution and the depthwise one has none;
    reflection comes before the depthwise one.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int = 2, skip: bool = False, padding_type: str = "zero",
                 epsilon: float = EPSILON):
        super().__init__()
        wide = expansion * inputs
        self.body = nn.Sequential(
            ConvNormLReLU(inputs, wide, 1, padding=int(padding_type == "zero"), epsilon=epsilon),
            convolution(wide, wide, 3, groups=wide, weight_attr=normal_attr()),
            layer_norm(wide, epsilon), nn.LeakyReLU(0.2),
            nn.Conv2D(wide, outputs, 1, weight_attr=normal_attr(), bias_attr=False), layer_norm(outputs, epsilon))
        self.pad = ReflectionPad(1) if padding_type == "reflect" else nn.Identity()
        self.skip = skip and inputs == outputs

    def forward(self, x):
        widen, *rest = self.body
        narrow = self.pad(widen(x))
        for layer in rest:
            narrow = layer(narrow)
        return x + narrow if self.skip else narrow


class LiteBlock(nn.Layer):
    """The lite generator's residual block."""

    def __init__(self, channels: int, epsilon: float = EPSILON):
        super().__init__()
        wide = 2 * channels
        self.body = nn.Sequential(ConvNormLReLU(channels, wide, 1, padding=0, epsilon=epsilon),
                                  ConvNormLReLU(wide, wide, epsilon=epsilon),
                                  nn.Conv2D(wide, channels, 1, weight_attr=normal_attr(), bias_attr=False))

    def forward(self, x):
        return x + self.body(x)


def _doubling(upsample_align: str) -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", **UPSAMPLINGS[upsample_align])


class AnimeGANv2Generator(nn.Layer):
    """Photos [N, 3, H, W] in [-1, 1] to anime [N, 3, H, W] in [-1, 1], for H and W that are multiples of 4.

    Other sizes come out enlarged to the next multiple of 4.

    Args:
        lite: PaddleGAN's smaller variant, which has no form but its own.
        skip: the inverted bottlenecks keep their skip connections, as in TensorFlow and PyTorch; PaddleGAN's do not.
        padding_type: "zero" (PaddleGAN) or "reflect" (TensorFlow and PyTorch).
        upsample_align: "half_pixel" (PaddleGAN), "align_corners" (PyTorch: torch.hub's model), or "asymmetric"
            (TensorFlow 1: pixel i of the doubled picture lies at i / 2).
        epsilon: added to the norms' variances: 1e-5, or TensorFlow's 1e-12.
    Weights start as N(0, 0.02). Raises ValueError for an unknown padding or upsampling, and for a lite one with skips.
    """

    def __init__(self, lite: bool = False, skip: bool = False, padding_type: str = "zero",
                 upsample_align: str = "half_pixel", epsilon: float = EPSILON):
        super().__init__()
        if padding_type not in PADDINGS or upsample_align not in UPSAMPLINGS:
            raise ValueError(f'padding_type is {" or ".join(PADDINGS)} and upsample_align is '
                             f'{" or ".join(UPSAMPLINGS)}, not "{padding_type}" and "{upsample_align}".')
        if lite and (skip or padding_type == "reflect"):
            raise ValueError("The lite generator has no inverted bottlenecks and is published with zero-padding only.")
        self.arguments = {"lite": lite, "skip": skip, "padding_type": padding_type, "upsample_align": upsample_align,
                          "epsilon": epsilon}
        unit = functools.partial(ConvNormLReLU, padding_type=padding_type, epsilon=epsilon)
        inverted = functools.partial(InvertedBlock, skip=skip, padding_type=padding_type, epsilon=epsilon)
        wide = 32 if lite else 64                                    # feature maps at half size
        self.A = nn.Sequential(unit(3, 32, 7, padding=3), unit(32, wide, stride=2), unit(wide, wide))
        self.B = nn.Sequential(unit(wide, 2 * wide, stride=2), unit(2 * wide, 2 * wide), unit(2 * wide, 2 * wide))
        if lite:
            self.C = nn.Sequential(*[LiteBlock(64, epsilon) for _ in range(4)])
            self.D = nn.Sequential(_doubling(upsample_align), unit(64, 64), unit(64, 64), unit(64, 64))
            self.E = nn.Sequential(_doubling(upsample_align), unit(64, 32), unit(32, 32), unit(32, 32, 7, padding=3))
        else:
            self.C = nn.Sequential(inverted(128, 256), *[inverted(256, 256) for _ in range(3)], unit(256, 128))
            self.D = nn.Sequential(_doubling(upsample_align), unit(128, 128), unit(128, 128))
            self.E = nn.Sequential(_doubling(upsample_align), unit(128, 64), unit(64, 64), unit(64, 32, 7, padding=3))
        self.out = nn.Sequential(nn.Conv2D(32, 3, 1, weight_attr=normal_attr(), bias_attr=False), nn.Tanh())

    def forward(self, x):
        for part in (self.A, self.B, self.C, self.D, self.E, self.out):
            x = part(x)
        return x
