"""Equalised learning rates: weights start as N(0, 1) and are scaled when used (Progressive GAN, section 4.1).

Published names: `weight`, `bias`. A Linear's weight is [in, out], as everywhere in Paddle.
"""
from __future__ import annotations

import math

import paddle.nn as nn
import paddle.nn.functional as F

from .layers import add_bias

SLOPE = 0.2                                  # of the leaky ReLU, everywhere in StyleGAN2
GAIN = math.sqrt(2.0)                        # keeps the variance through that leaky ReLU


class EqualLinear(nn.Layer):
    """y = x (W s) + b m with s = m / sqrt(in) and m the learning-rate multiplier; [N, in] to [N, out].

    `activate` adds leaky ReLU times sqrt(2); it is positively homogeneous, so the factor goes into weight and bias.
    """

    def __init__(self, inputs: int, outputs: int, bias_init: float = 0.0, lr_multiplier: float = 1.0,
                 activate: bool = False):
        super().__init__()
        self.weight = self.create_parameter([inputs, outputs],
                                            default_initializer=nn.initializer.Normal(0.0, 1.0 / lr_multiplier))
        self.bias = self.create_parameter([outputs], default_initializer=nn.initializer.Constant(bias_init))
        gain = GAIN if activate else 1.0
        self.weight_scale = gain * lr_multiplier / math.sqrt(inputs)
        self.bias_scale = gain * lr_multiplier
        self.activate = activate

    def forward(self, x):
        x = F.linear(x, self.weight * self.weight_scale, self.bias * self.bias_scale)
        return F.leaky_relu(x, SLOPE) if self.activate else x


class EqualConv2D(nn.Layer):
    """Convolution without bias whose weight is scaled by `gain` / sqrt(fan in) when used."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0,
                 gain: float = 1.0):
        super().__init__()
        self.weight = self.create_parameter([outputs, inputs, kernel_size, kernel_size],
                                            default_initializer=nn.initializer.Normal(0.0, 1.0))
        self.scale = gain / math.sqrt(inputs * kernel_size ** 2)
        self.stride, self.padding = stride, padding

    def forward(self, x):
        return F.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class LeakyBias(nn.Layer):
    """leaky_relu(x + bias) * `gain`, for an `x` that its producer has already scaled by `gain`.

    Leaky ReLU is positively homogeneous, so the factor costs nothing when it is folded into what came before.
    """

    def __init__(self, channels: int, gain: float = GAIN):
        super().__init__()
        self.bias = self.create_parameter([channels], default_initializer=nn.initializer.Constant(0.0))
        self.gain = gain

    def forward(self, x):
        return F.leaky_relu(add_bias(x, self.bias * self.gain), SLOPE)
