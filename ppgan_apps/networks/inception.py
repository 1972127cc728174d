"""Inception-v3 as the Frechet Inception Distance uses it: the TensorFlow graph of 2015-12-05 (Szegedy 2016).

Published attribute names are those of the PyTorch port (pt_inception-2015-12-05): Conv2d_1a_3x3 ... Mixed_7c, fc; each
convolution is `conv` and `bn`. The port differs from torchvision's network in its average pools, which leave the zeros
beyond the border out, in Mixed_7c, whose pool takes the largest value, and in the 1,008 outputs of `fc`.
"""
from __future__ import annotations

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

EPSILON = 1e-3                               # of every batch normalisation
FEATURES = 2048


class ConvolutionNorm(nn.Layer):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel_size, stride: int = 1, padding=0):
        super().__init__()
        self.conv = nn.Conv2D(inputs, outputs, kernel_size, stride, padding, bias_attr=False)
        self.bn = nn.BatchNorm2D(outputs, epsilon=EPSILON)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class MixedA(nn.Layer):
    """35x35: 1x1, 5x5, two 3x3 and a pool, side by side."""

    def __init__(self, inputs: int, pooled: int):
        super().__init__()
        self.branch1x1 = ConvolutionNorm(inputs, 64, 1)
        self.branch5x5_1 = ConvolutionNorm(inputs, 48, 1)
        self.branch5x5_2 = ConvolutionNorm(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvolutionNorm(inputs, 64, 1)
        self.branch3x3dbl_2 = ConvolutionNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvolutionNorm(96, 96, 3, padding=1)
        self.branch_pool = ConvolutionNorm(inputs, pooled, 1)

    def forward(self, x):
        return paddle.concat([self.branch1x1(x),
                              self.branch5x5_2(self.branch5x5_1(x)),
                              self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                              self.branch_pool(average_inside(x))], 1)


class MixedB(nn.Layer):
    """35x35 to 17x17."""

    def __init__(self, inputs: int):
        super().__init__()
        self.branch3x3 = ConvolutionNorm(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvolutionNorm(inputs, 64, 1)
        self.branch3x3dbl_2 = ConvolutionNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvolutionNorm(96, 96, 3, stride=2)

    def forward(self, x):
        return paddle.concat([self.branch3x3(x), self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                              F.max_pool2d(x, 3, 2)], 1)


class MixedC(nn.Layer):
    """17x17: 1x1, one and two factorised 7x7 and a pool, side by side."""

    def __init__(self, inputs: int, inner: int):
        super().__init__()
        wide, high = {"kernel_size": (1, 7), "padding": (0, 3)}, {"kernel_size": (7, 1), "padding": (3, 0)}
        self.branch1x1 = ConvolutionNorm(inputs, 192, 1)
        self.branch7x7_1 = ConvolutionNorm(inputs, inner, 1)
        self.branch7x7_2 = ConvolutionNorm(inner, inner, **wide)
        self.branch7x7_3 = ConvolutionNorm(inner, 192, **high)
        self.branch7x7dbl_1 = ConvolutionNorm(inputs, inner, 1)
        self.branch7x7dbl_2 = ConvolutionNorm(inner, inner, **high)
        self.branch7x7dbl_3 = ConvolutionNorm(inner, inner, **wide)
        self.branch7x7dbl_4 = ConvolutionNorm(inner, inner, **high)
        self.branch7x7dbl_5 = ConvolutionNorm(inner, 192, **wide)
        self.branch_pool = ConvolutionNorm(inputs, 192, 1)

    def forward(self, x):
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return paddle.concat([self.branch1x1(x), once, twice, self.branch_pool(average_inside(x))], 1)


class MixedD(nn.Layer):
    """17x17 to 8x8."""

    def __init__(self, inputs: int):
        super().__init__()
        self.branch3x3_1 = ConvolutionNorm(inputs, 192, 1)
        self.branch3x3_2 = ConvolutionNorm(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvolutionNorm(inputs, 192, 1)
        self.branch7x7x3_2 = ConvolutionNorm(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = ConvolutionNorm(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = ConvolutionNorm(192, 192, 3, stride=2)

    def forward(self, x):
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return paddle.concat([self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(seven),
                              F.max_pool2d(x, 3, 2)], 1)


class MixedE(nn.Layer):
    """8x8: 1x1, 3x3 split into 1x3 and 3x1 once and after another 3x3, and a pool.

    `largest`: the pool takes the largest value in place of the average; so it is in the last block of the graph.
    """

    def __init__(self, inputs: int, largest: bool):
        super().__init__()
        wide, high = {"kernel_size": (1, 3), "padding": (0, 1)}, {"kernel_size": (3, 1), "padding": (1, 0)}
        self.largest = largest
        self.branch1x1 = ConvolutionNorm(inputs, 320, 1)
        self.branch3x3_1 = ConvolutionNorm(inputs, 384, 1)
        self.branch3x3_2a = ConvolutionNorm(384, 384, **wide)
        self.branch3x3_2b = ConvolutionNorm(384, 384, **high)
        self.branch3x3dbl_1 = ConvolutionNorm(inputs, 448, 1)
        self.branch3x3dbl_2 = ConvolutionNorm(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = ConvolutionNorm(384, 384, **wide)
        self.branch3x3dbl_3b = ConvolutionNorm(384, 384, **high)
        self.branch_pool = ConvolutionNorm(inputs, 192, 1)

    def forward(self, x):
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else average_inside(x)
        return paddle.concat([self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once),
                              self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice), self.branch_pool(pooled)], 1)


def average_inside(x):
    """The mean of each 3x3 window; windows at the border average what lies inside the picture."""
    return F.avg_pool2d(x, 3, 1, 1, exclusive=True)


class InceptionV3(nn.Layer):
    """Pictures [N, 3, 299, 299], RGB as (v - 128) / 128 with v from 0 to 255, to features [N, 2048].

    Source: https://arxiv.org/abs/1512.00567; the features are those of the last average pool, on which Heusel et al.
    2017 (arXiv 1706.08500) define FID. Use it in eval().
    """

    def __init__(self):
        super().__init__()
        self.arguments = {}
        self.Conv2d_1a_3x3 = ConvolutionNorm(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvolutionNorm(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvolutionNorm(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvolutionNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvolutionNorm(80, 192, 3)
        self.Mixed_5b = MixedA(192, 32)
        self.Mixed_5c = MixedA(256, 64)
        self.Mixed_5d = MixedA(288, 64)
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b = MixedC(768, 128)
        self.Mixed_6c = MixedC(768, 160)
        self.Mixed_6d = MixedC(768, 160)
        self.Mixed_6e = MixedC(768, 192)
        self.Mixed_7a = MixedD(768)
        self.Mixed_7b = MixedE(1280, largest=False)
        self.Mixed_7c = MixedE(2048, largest=True)
        self.fc = nn.Linear(FEATURES, 1008)  # not used for features; weight files carry it

    def forward(self, pictures):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pictures)))   # [N, 64, 147, 147]
        x = F.max_pool2d(x, 3, 2)                                                  # [N, 64, 73, 73]
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))                              # [N, 192, 71, 71]
        x = F.max_pool2d(x, 3, 2)                                                  # [N, 192, 35, 35]
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))                         # [N, 288, 35, 35]
        x = self.Mixed_6a(x)                                                       # [N, 768, 17, 17]
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))                         # [N, 2048, 8, 8]
        return x.mean([2, 3])
