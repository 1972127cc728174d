"""MobileFaceNet (Chen et al. 2018): whose face it is, in 512 numbers; Photo2Cartoon keeps them alike in its cartoons.

Published attribute names (InsightFace_Pytorch's): conv1, conv2_dw, conv_23, conv_3, conv_34, conv_4, conv_45, conv_5,
conv_6_sep, conv_6_dw, linear, bn, each block with conv, bn and prelu, each bottleneck with conv, conv_dw and project.
"""
from __future__ import annotations

import paddle.nn as nn
import paddle.nn.functional as F

FACE_SIZE = 112


class ChannelPReLU(nn.Layer):
    """Leaky ReLU with one learned slope per channel, 0.25 at first; Paddle's own layer calls it `_weight`."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = self.create_parameter([channels], default_initializer=nn.initializer.Constant(0.25))

    def forward(self, x):
        return F.prelu(x, self.weight)


class ConvBlock(nn.Layer):
    """Convolution without bias, batch normalisation and, unless `linear`, PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1, stride: int = 1, padding: int = 0,
                 groups: int = 1, linear: bool = False):
        super().__init__()
        self.conv = nn.Conv2D(inputs, outputs, kernel_size, stride, padding, groups=groups, bias_attr=False)
        self.bn = nn.BatchNorm2D(outputs)
        self.linear = linear
        if not linear:
            self.prelu = ChannelPReLU(outputs)

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x if self.linear else self.prelu(x)


class Bottleneck(nn.Layer):
    """Widen to `wide`, depthwise 3x3, narrow; with a skip connection where the shape stays."""

    def __init__(self, inputs: int, outputs: int, wide: int, stride: int = 1):
        super().__init__()
        self.conv = ConvBlock(inputs, wide)
        self.conv_dw = ConvBlock(wide, wide, 3, stride, 1, groups=wide)
        self.project = ConvBlock(wide, outputs, linear=True)
        self.residual = stride == 1

    def forward(self, x):
        out = self.project(self.conv_dw(self.conv(x)))
        return x + out if self.residual else out


class Bottlenecks(nn.Layer):
    """A chain of bottlenecks of one shape; published attribute name: `model`."""

    def __init__(self, channels: int, count: int, wide: int):
        super().__init__()
        self.model = nn.Sequential(*[Bottleneck(channels, channels, wide) for _ in range(count)])

    def forward(self, x):
        return self.model(x)


class MobileFaceNet(nn.Layer):
    """Aligned faces [N, 3, 112, 112], RGB in [-1, 1], to embeddings [N, embedding_size] of length 1."""

    def __init__(self, embedding_size: int = 512):
        super().__init__()
        self.arguments = {"embedding_size": embedding_size}
        self.conv1 = ConvBlock(3, 64, 3, 2, 1)                       # [N, 64, 56, 56]
        self.conv2_dw = ConvBlock(64, 64, 3, 1, 1, groups=64)
        self.conv_23 = Bottleneck(64, 64, 128, stride=2)             # [N, 64, 28, 28]
        self.conv_3 = Bottlenecks(64, 4, 128)
        self.conv_34 = Bottleneck(64, 128, 256, stride=2)            # [N, 128, 14, 14]
        self.conv_4 = Bottlenecks(128, 6, 256)
        self.conv_45 = Bottleneck(128, 128, 512, stride=2)           # [N, 128, 7, 7]
        self.conv_5 = Bottlenecks(128, 2, 256)
        self.conv_6_sep = ConvBlock(128, 512)
        self.conv_6_dw = ConvBlock(512, 512, 7, groups=512, linear=True)   # [N, 512, 1, 1]
        self.linear = nn.Linear(512, embedding_size, bias_attr=False)
        self.bn = nn.BatchNorm1D(embedding_size)

    def forward(self, faces):
        x = self.conv2_dw(self.conv1(faces))
        for part in (self.conv_23, self.conv_3, self.conv_34, self.conv_4, self.conv_45, self.conv_5, self.conv_6_sep,
                     self.conv_6_dw):
            x = part(x)
        return F.normalize(self.bn(self.linear(x.reshape([x.shape[0], -1]))), axis=1)


def recognisable_face(images):
    """The face inside Photo2Cartoon's crops, [N, 3, S, S] to [N, 3, 112, 112].

    Takes back the crop's margins (0.8 of the landmarks' height above, 0.3 below) but for 0.33 above, square, centred.
    """
    size = images.shape[-1]
    top, bottom = int(size / 2.1 * (0.8 - 0.33)), int(size - size / 2.1 * 0.3)
    left = int(size / 2 - (bottom - top) / 2)
    face = images[:, :, top:bottom, left:left + bottom - top]
    return F.interpolate(face, size=[FACE_SIZE, FACE_SIZE], mode="bilinear", align_corners=True)
