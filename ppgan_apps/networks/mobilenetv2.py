"""MobileNetV2's convolutions as frozen features for perceptual losses (Sandler et al. 2018, table 2).

Published attribute names are torchvision's and Paddle's, `features.0.0`, `features.1.conv.0.0` ..., without the
classifier.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn as nn

from .vgg import PREPROCESSING

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
BLOCKS = sum(count for _, _, count, _ in STAGES)         # rows: expansion, feature maps, blocks, stride of the first


class InvertedResidual(nn.Layer):
    """Widen, depthwise 3x3, narrow, without activation at the end; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        wide = expansion * inputs
        widen = [_unit(inputs, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(*widen, _unit(wide, wide, 3, stride, groups=wide),
                                  nn.Conv2D(wide, outputs, 1, bias_attr=False), nn.BatchNorm2D(outputs))
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.skips else self.conv(x)


class MobileNetV2(nn.Layer):
    """RGB images [N, 3, H, W] in [-1, 1] to a dict of features, one per tap: "block6" is [N, 32, H / 8, W / 8].

    The parameters and the norms' statistics are frozen. Without a weight file the filters are He normal from `seed`,
    the same in every process.

    Args:
        taps: names of blocks, "block1" to "block17"; nothing after the last one is computed or built.
        preprocessing: "imagenet" or "caffe", as in networks/vgg.py.
        seed: of the random weights.
    Raises ValueError for an unknown tap or preprocessing.
    """

    def __init__(self, taps: Sequence[str] = ("block6",), preprocessing: str = "imagenet", seed: int = 0):
        super().__init__()
        if preprocessing not in PREPROCESSING:
            raise ValueError(f'preprocessing is "imagenet" or "caffe", not "{preprocessing}".')
        self.arguments = {"taps": list(taps), "preprocessing": preprocessing, "seed": seed}
        names = [f"block{number}" for number in range(1, BLOCKS + 1)]
        unknown = [tap for tap in taps if tap not in names]
        if unknown or not taps:
            raise ValueError(f"MobileNetV2 has the taps block1 to block{BLOCKS}, not {', '.join(unknown) or 'none'}.")
        self.taps = tuple(taps)
        mean, deviation, self.blue_first = PREPROCESSING[preprocessing]
        for name, values in (("mean", mean), ("deviation", deviation)):
            constant = paddle.to_tensor(values, dtype="float32").reshape([1, 3, 1, 1])
            self.register_buffer(name, constant, persistable=False)
        self.features = _features(max(names.index(tap) for tap in taps) + 1)
        _start(self.features, np.random.RandomState(seed))
        for parameter in self.parameters():
            parameter.stop_gradient = True
        self.eval()

    def forward(self, images):
        x = (images - self.mean) / self.deviation
        if self.blue_first:
            x = paddle.concat([x[:, 2:3], x[:, 1:2], x[:, 0:1]], 1)
        features = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            if f"block{index}" in self.taps:
                features[f"block{index}"] = x
        return features


def _unit(inputs: int, outputs: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2D(inputs, outputs, kernel_size, stride, kernel_size // 2, groups=groups,
                                   bias_attr=False), nn.BatchNorm2D(outputs), nn.ReLU6())


def _features(count: int) -> nn.Sequential:
    """The first convolution and the first `count` blocks."""
    layers, inputs = [_unit(3, 32, 3, 2)], 32
    for expansion, width, repeats, first_stride in STAGES:
        for index in range(repeats):
            layers.append(InvertedResidual(inputs, width, first_stride if index == 0 else 1, expansion))
            inputs = width
    return nn.Sequential(*layers[:count + 1])


def _start(features: nn.Sequential, random: np.random.RandomState) -> None:
    """He normal filters from `random`."""
    for layer in features.sublayers():
        if isinstance(layer, nn.Conv2D):
            shape = layer.weight.shape
            scale = np.float32(np.sqrt(2 / np.prod(shape[1:])))
            layer.weight.set_value(random.standard_normal(shape).astype(np.float32) * scale)
