"""Networks as they are exported: latents as plain inputs, and Layers in the forms that other runtimes know."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import paddle
import paddle.nn as nn
import paddle.nn.functional as F

from .networks.layers import EPSILON, LIN, AdaLIN, BatchStatisticsNorm, ReflectionPad
from .networks.stylegan2 import StyleGAN2Generator

LATENTS = ("z", "w")


class FromLatents(nn.Layer):
    """A StyleGAN2 generator as one function of latents, with the noise that is stored with its weights.

    Latents [N, layers, style_dim] and, when `truncation` is None, a number [1], to images [N, 3, size, size]. `layers`
    is 1, the same latent everywhere, or n_latent, one for each layer, which mixes styles.

    Args:
        latent: "z", normally distributed, or "w", what the mapping network makes of it.
        truncation: fixed, or None for an input; pulls w towards `mean_w` [1, style_dim].
    """

    def __init__(self, network: StyleGAN2Generator, latent: str, truncation: float | None, mean_w):
        super().__init__()
        self.network, self.latent, self.truncation = network, latent, truncation
        self.register_buffer("mean_w", mean_w, persistable=False)
        self.eval()

    def forward(self, latents, truncation=None):
        w = latents
        if self.latent == "z":
            w = self.network.mapping(latents.reshape([-1, self.network.style_dim])).reshape(paddle.shape(latents))
        if truncation is None and self.truncation < 1:
            truncation = self.truncation
        if truncation is not None:
            w = self.mean_w + truncation * (w - self.mean_w)
        w = w.expand([-1, self.network.n_latent, -1])
        return self.network.synthesis(w, noise="stored", twice_differentiable=False)


class MeasuredNorms(nn.Layer):
    """A network whose layer norms (group norms of one group) also say what they found: one picture [1, 3, H, W] to
    (the result, moments [norms, 2]: mean and one over the deviation). A form for export, which Paddle does not run."""

    def __init__(self, network: nn.Layer):
        super().__init__()
        self.network = network


class GivenNorms(MeasuredNorms):
    """A network whose layer norms use moments that they are given: (pictures, moments [norms, 2]) to the result."""


@contextmanager
def plain_forms(network: nn.Layer) -> Iterator[None]:
    """Within the block, mirrored borders are Paddle's own operator, and batch statistics each image's own: what they
    are for one image at a time, as those networks are to be used, and what an inference program can compute."""
    def plain(layer):
        if isinstance(layer, ReflectionPad):
            return partial(F.pad, pad=[layer.width] * 4, mode="reflect")
        if isinstance(layer, BatchStatisticsNorm):
            return partial(F.instance_norm, weight=layer.weight, bias=layer.bias, eps=layer._epsilon)
        return None
    with _other_forwards(network, plain):
        yield


@contextmanager
def exact_moments(network: nn.Layer) -> Iterator[None]:
    """Within the block, layer-instance norms sum a layer's moments from its channels'.

    Paddle's sum over all values at once, which the published pictures have in them, is off by up to 0.1 % in float32,
    and moves single pixels of Photo2Cartoon by 0.4 %; no other runtime makes that error, so that exported networks are
    compared without it.
    """
    def exact(layer):
        if isinstance(layer, AdaLIN):
            return lambda x, gamma, beta: _layer_instance_norm(x, layer.rho, gamma.unsqueeze([2, 3]),
                                                               beta.unsqueeze([2, 3]))
        if isinstance(layer, LIN):
            return lambda x: _layer_instance_norm(x, layer.rho, layer.gamma, layer.beta)
        return None
    with _other_forwards(network, exact):
        yield


def has_layer_instance_norm(network: nn.Layer) -> bool:
    """Whether `exact_moments` changes anything."""
    return any(isinstance(layer, (LIN, AdaLIN)) for layer in network.sublayers())


def _layer_instance_norm(x, rho, gamma, beta):
    """As networks/layers.py's, whose shapes are the same, with moments made from the channels'."""
    pixels = x.shape[2] * x.shape[3]
    values = x.shape[1] * pixels
    mean = x.mean([2, 3], keepdim=True)                              # [N, C, 1, 1]
    centred = x - mean
    squares = (centred * centred).sum([2, 3], keepdim=True)
    from_layer = mean - mean.mean(1, keepdim=True)
    layer_squares = (squares + pixels * from_layer * from_layer).sum(1, keepdim=True)   # [N, 1, 1, 1]
    instance = rho * paddle.rsqrt(squares / (pixels - 1) + EPSILON)
    layer = (1 - rho) * paddle.rsqrt(layer_squares / (values - 1) + EPSILON)
    return centred * (gamma * (instance + layer)) + (beta + gamma * layer * from_layer)


@contextmanager
def _other_forwards(network: nn.Layer, chosen: Callable[[nn.Layer], Callable | None]) -> Iterator[None]:
    """Within the block each layer runs the function that `chosen` gives for it, if any."""
    changed = []
    try:
        for layer in network.sublayers(include_self=True):
            forward = chosen(layer)
            if forward is not None:
                layer.forward = forward
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            del layer.forward
