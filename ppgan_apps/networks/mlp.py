"""The first GAN's networks (Goodfellow 2014): a rectifier generator and a maxout discriminator of whole pictures."""
from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
import paddle.nn as nn

from ..sharing import dropout


class MLPGenerator(nn.Layer):
    """Latents [N, latent_dim] to pictures [N, channels, size, size] in [-1, 1].

    Two layers of `width` rectified units, then a sigmoid stretched to [-1, 1]. Weights start evenly in +-0.05.
    """

    def __init__(self, size: int = 28, latent_dim: int = 100, width: int = 1200, channels: int = 1):
        super().__init__()
        self.arguments = {"size": size, "latent_dim": latent_dim, "width": width, "channels": channels}
        self.shape = [channels, size, size]
        self.layers = nn.Sequential(_linear(latent_dim, width, 0.05), nn.ReLU(), _linear(width, width, 0.05), nn.ReLU(),
                                    _linear(width, math.prod(self.shape), 0.05), nn.Sigmoid())

    def forward(self, z):
        return self.layers(z).reshape([len(z), *self.shape]) * 2 - 1


class MLPDiscriminator(nn.Layer):
    """Pictures [N, channels, size, size] to logits [N, 1].

    Args:
        widths: units of the hidden layers, each the largest of `pieces` linear functions (maxout).
        input_dropout, dropout: share of the pixels and of the hidden units that is dropped in training.
    Pixels are taken back to [0, 1], so that black, and what is dropped, is 0. Weights start evenly in +-0.005.
    """

    def __init__(self, size: int = 28, channels: int = 1, widths: Sequence[int] = (240, 240), pieces: int = 5,
                 input_dropout: float = 0.2, dropout: float = 0.5):
        super().__init__()
        self.arguments = {"size": size, "channels": channels, "widths": list(widths), "pieces": pieces,
                          "input_dropout": input_dropout, "dropout": dropout}
        inputs = [channels * size * size, *widths[:-1]]
        self.hidden = nn.LayerList([_linear(narrow, wide * pieces, 0.005) for narrow, wide in zip(inputs, widths)])
        self.head = _linear(widths[-1], 1, 0.005)

    def forward(self, x):
        x = (x.reshape([len(x), -1]) + 1) / 2                  # [N, C * H * W]
        x = dropout(x, self.arguments["input_dropout"], self.training)
        for layer in self.hidden:
            x = layer(x).reshape([len(x), -1, self.arguments["pieces"]]).max(2)    # [N, width]
            x = dropout(x, self.arguments["dropout"], self.training)
        return self.head(x)


def _linear(inputs: int, outputs: int, limit: float) -> nn.Linear:
    weight = paddle.ParamAttr(initializer=nn.initializer.Uniform(-limit, limit))
    return nn.Linear(inputs, outputs, weight_attr=weight,
                     bias_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(0.0)))
