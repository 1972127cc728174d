"""PortraitSegmenter: a small encoder-decoder that marks the person in a portrait.

Own design in the size of PP-HumanSeg-Lite (about 0.14 M parameters). The encoder is made of inverted residuals
(Sandler et al., "MobileNetV2", CVPR 2018) with depthwise convolutions; the deepest map is given the picture's global
mean as context; the decoder adds the encoder's maps back in, from coarse to fine.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn import functional as F


def conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Layer:
    """Convolution, batch norm and, unless `act` is false, ReLU."""
    layers = [
        nn.Conv2D(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias_attr=False),
        nn.BatchNorm2D(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if act else []))


class InvertedResidual(nn.Layer):
    """1x1 wider, depthwise `kernel`, 1x1 back; the input is added when neither size nor width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: int = 3, kernel: int = 3):
        super().__init__()
        wide = inputs * expansion
        self.expand = conv_norm(inputs, wide)
        self.depthwise = conv_norm(wide, wide, kernel, stride, groups=wide)
        self.project = conv_norm(wide, outputs, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Fuse(nn.Layer):
    """A coarse map brought to the finer one's channels, enlarged twice and added, then one depthwise separable
    layer.
    """

    def __init__(self, coarse: int, fine: int):
        super().__init__()
        self.coarse = conv_norm(coarse, fine, act=False)
        self.depthwise = conv_norm(fine, fine, 3, groups=fine, act=False)
        self.pointwise = conv_norm(fine, fine)

    def forward(self, coarse: paddle.Tensor, fine: paddle.Tensor) -> paddle.Tensor:
        enlarged = F.interpolate(self.coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        return self.pointwise(self.depthwise(F.relu(enlarged + fine)))


class PortraitSegmenter(nn.Layer):
    """RGB [N, 3, side, side] in [-1, 1] -> logits [N, 1, side, side]; positive on the person.

    widths: channels at 1/2, 1/4, 1/8 and 1/16 of the side; side: what it is trained and fed at, a multiple of 16.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (12, 20, 40, 72), side: int = 192):
        super().__init__()
        self.arguments = {"widths": list(widths), "side": side}
        self.side = side
        half, quarter, eighth, sixteenth = widths
        self.stem = conv_norm(3, half, 3, stride=2)
        self.quarter = nn.Sequential(
            conv_norm(half, quarter, 3, stride=2), InvertedResidual(quarter, quarter, expansion=2)
        )
        self.eighth = nn.Sequential(
            InvertedResidual(quarter, eighth, 2),
            InvertedResidual(eighth, eighth, kernel=5),
            InvertedResidual(eighth, eighth),
        )
        self.sixteenth = nn.Sequential(
            InvertedResidual(eighth, sixteenth, 2, kernel=5),
            InvertedResidual(sixteenth, sixteenth, kernel=5),
            InvertedResidual(sixteenth, sixteenth, kernel=5),
        )
        self.context = nn.Conv2D(sixteenth, sixteenth, 1)
        self.fuse_eighth = Fuse(sixteenth, eighth)
        self.fuse_quarter = Fuse(eighth, quarter)
        self.fuse_half = Fuse(quarter, half)
        self.head = nn.Conv2D(half, 1, 3, padding=1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        half = self.stem(x)  # [N, 12, 96, 96]
        quarter = self.quarter(half)  # [N, 20, 48, 48]
        eighth = self.eighth(quarter)  # [N, 40, 24, 24]
        sixteenth = self.sixteenth(eighth)  # [N, 72, 12, 12]
        sixteenth = F.relu(sixteenth + self.context(sixteenth.mean(axis=[2, 3], keepdim=True)))
        fused = self.fuse_eighth(sixteenth, eighth)  # [N, 40, 24, 24]
        fused = self.fuse_quarter(fused, quarter)  # [N, 20, 48, 48]
        fused = self.fuse_half(fused, half)  # [N, 12, 96, 96]
        return F.interpolate(self.head(fused), scale_factor=2, mode="bilinear", align_corners=False)
