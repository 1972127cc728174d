"""VGG-19's convolutions as frozen features for perceptual losses (Simonyan and Zisserman 2015, configuration E).

Published attribute names are torchvision's and Paddle's, `features.0`, `features.2` ..., without the classifier.
"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from .layers import BiasedConv2D

CONVOLUTIONS = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}            # in each block; max pooling between blocks

# For values in [-1, 1]: (mean, deviation) of red, green and blue, and whether the network wants blue first.
PREPROCESSING = {
    "imagenet": ([2 * mean - 1 for mean in (0.485, 0.456, 0.406)], [2 * std for std in (0.229, 0.224, 0.225)], False),
    "caffe": ([mean / 127.5 - 1 for mean in (123.68, 116.779, 103.939)], [1 / 127.5] * 3, True),
}


class VGG19(nn.Layer):
    """RGB images [N, 3, H, W] in [-1, 1] to a dict of features, one per tap: "conv4_4" is [N, 512, H / 8, W / 8].

    The parameters are frozen. Without a weight file they are He normal from `seed`, the same in every process: random
    features compare edges and textures, not objects.

    Args:
        taps: names of convolutions, "conv1_1" to "conv5_4"; nothing after the last one is computed or built.
        before_activation: taps give what the convolution gives (as AnimeGAN wants), else what its ReLU gives.
        preprocessing: "imagenet" for torchvision's and Paddle's weights: (v - mean) / deviation of values in [0, 1];
            "caffe" for the original ones: blue first, 0 to 255, less the mean.
        width: feature maps of the first block; 64 is the published one.
        seed: of the random weights.
    Raises ValueError for an unknown tap or preprocessing.
    """

    def __init__(self, taps: Sequence[str] = ("conv4_4",), before_activation: bool = True,
                 preprocessing: str = "imagenet", width: int = 64, seed: int = 0):
        super().__init__()
        if preprocessing not in PREPROCESSING:
            raise ValueError(f'preprocessing is "imagenet" or "caffe", not "{preprocessing}".')
        self.arguments = {"taps": list(taps), "before_activation": before_activation, "preprocessing": preprocessing,
                          "width": width, "seed": seed}
        names = [f"conv{block}_{index}" for block, count in CONVOLUTIONS.items() for index in range(1, count + 1)]
        unknown = [tap for tap in taps if tap not in names]
        if unknown or not taps:
            raise ValueError(f"VGG-19 has the taps {', '.join(names)}, not {', '.join(unknown) or 'an empty list'}.")
        self.taps, self.before_activation = tuple(taps), before_activation
        names = names[:max(names.index(tap) for tap in taps) + 1]
        mean, deviation, self.blue_first = PREPROCESSING[preprocessing]
        for name, values in (("mean", mean), ("deviation", deviation)):
            constant = paddle.to_tensor(values, dtype="float32").reshape([1, 3, 1, 1])
            self.register_buffer(name, constant, persistable=False)
        self.features, self.positions = _features(names, width, np.random.RandomState(seed))
        for parameter in self.parameters():
            parameter.stop_gradient = True

    def forward(self, images):
        x = (images - self.mean) / self.deviation
        if self.blue_first:
            x = paddle.concat([x[:, 2:3], x[:, 1:2], x[:, 0:1]], 1)
        features = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            name = self.positions.get(index)
            if name in self.taps:
                features[name] = x if self.before_activation else F.relu(x)
        return features


def _features(names: list[str], width: int, random: np.random.RandomState) -> tuple[nn.Sequential, dict[int, str]]:
    """The layers up to the last of `names`, and which position holds which convolution."""
    layers, positions, inputs, last_block = [], {}, 3, "1"
    for name in names:
        block = name[4]
        if block != last_block:
            layers.append(nn.MaxPool2D(2))
            last_block = block
        outputs = width * min(2 ** (int(block) - 1), 8)
        positions[len(layers)] = name
        layers += [_convolution(inputs, outputs, random), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers[:-1]), positions


def _convolution(inputs: int, outputs: int, random: np.random.RandomState) -> nn.Conv2D:
    zero = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
    layer = BiasedConv2D(inputs, outputs, 3, padding=1, weight_attr=zero, bias_attr=zero)
    weight = random.standard_normal((outputs, inputs, 3, 3)).astype(np.float32)
    layer.weight.set_value(weight * np.float32(np.sqrt(2 / (inputs * 9))))
    return layer
