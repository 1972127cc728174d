"""LandmarkNet: a small network that places 68 points on a face.

Own design, a residual network (He et al., CVPR 2016) with bottlenecks. It answers twice, and the answers are averaged:
fully connected layers on the coarsest map know the whole face's shape, also where sunglasses or hair hide a part of
it; the expectation of one heat map a point (Sun et al., "Integral Human Pose Regression", ECCV 2018) is exact where the
part is seen. There are no depthwise convolutions, which are slow on a CPU, and nothing is computed at full size: the
first layer sees blocks of 4 x 4 pixels.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from .segmentation import conv_norm

BLOCK = 4  # pixels a side that become the channels of one place


class Bottleneck(nn.Layer):
    """1x1 to half the channels, 3x3, 1x1 back; the input is added."""

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 2
        self.body = nn.Sequential(
            conv_norm(channels, inner), conv_norm(inner, inner, 3), conv_norm(inner, channels, act=False)
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(x + self.body(x))


class LandmarkNet(nn.Layer):
    """Grey [N, 1, side, side] in [-1, 1] -> two guesses of the points, each [N, points, 2], x then y.

    Points are in half sides from the middle of the patch: (-1, -1) is its top left corner. The first guess comes from
    the whole face's shape, the second from the heat maps. widths: channels at 1/4, 1/8, 1/16 and 1/32 of the side,
    which is a multiple of 32; depths: bottlenecks at each; hidden: width of the fully connected layer.
    """

    def __init__(
        self,
        points: int = 68,
        widths: tuple[int, int, int, int] = (32, 64, 96, 128),
        depths: tuple[int, int, int, int] = (0, 2, 3, 1),
        hidden: int = 160,
        side: int = 128,
    ):
        super().__init__()
        self.arguments = {
            "points": points, "widths": list(widths), "depths": list(depths), "hidden": hidden, "side": side,
        }
        self.side, self.points = side, points
        quarter, eighth, sixteenth, last = widths
        self.quarter = nn.Sequential(
            conv_norm(BLOCK**2, quarter, 3), *(Bottleneck(quarter) for _ in range(depths[0]))
        )
        self.eighth = nn.Sequential(
            conv_norm(quarter, eighth, 3, stride=2), *(Bottleneck(eighth) for _ in range(depths[1]))
        )
        self.sixteenth = nn.Sequential(
            conv_norm(eighth, sixteenth, 3, stride=2), *(Bottleneck(sixteenth) for _ in range(depths[2]))
        )
        self.last = nn.Sequential(
            conv_norm(sixteenth, last, 3, stride=2), *(Bottleneck(last) for _ in range(depths[3])), conv_norm(last, 64)
        )
        self.hidden = nn.Linear(64 * (side // 32) ** 2, hidden)
        # It starts as the mean shape, which the training puts into its bias: large weights would have to be unlearned.
        small = paddle.ParamAttr(initializer=nn.initializer.Normal(std=0.003))
        self.shape = nn.Linear(hidden, 2 * points, weight_attr=small)
        self.context = nn.Linear(hidden, eighth)
        self.coarse = conv_norm(sixteenth, eighth, act=False)
        self.fused = conv_norm(eighth, eighth)
        self.heat = nn.Conv2D(eighth, points, 1)
        # Where the cells of the heat maps lie, in half sides; a buffer, because it is no weight.
        middle = (np.arange(side // 8) + 0.5) * 16 / side - 1
        places = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2).astype(np.float32)
        self.register_buffer("places", paddle.to_tensor(places), persistable=False)

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        # Every patch to the same brightness and contrast: the network need not learn the light.
        x = x - x.mean(axis=[1, 2, 3], keepdim=True)
        x = 0.5 * x / paddle.sqrt((x * x).mean(axis=[1, 2, 3], keepdim=True) + 1e-3)
        quarter = self.quarter(F.pixel_unshuffle(x, BLOCK))  # [N, 32, 32, 32]
        eighth = self.eighth(quarter)  # [N, 64, 16, 16]
        sixteenth = self.sixteenth(eighth)  # [N, 96, 8, 8]
        hidden = F.hardswish(self.hidden(self.last(sixteenth).flatten(1)))  # [N, 160]
        shape = self.shape(hidden).reshape([-1, self.points, 2])
        wide = F.interpolate(self.coarse(sixteenth), scale_factor=2, mode="bilinear", align_corners=False)
        # The whole face's shape tells the heat maps where to look.
        wide = wide + self.context(hidden).unsqueeze([2, 3]).expand_as(wide)
        heat = self.heat(self.fused(F.relu(eighth + wide))).flatten(2)  # [N, 68, 256]
        return shape, F.softmax(heat, axis=-1) @ self.places
