"""Large pictures in bounded memory: AnimeGANv2 in tiles that meet without a seam.

Its layer norms use moments of the whole picture, so tiles drawn by themselves would not fit together. Here a smaller
copy of the whole picture is drawn first and its moments noted; then every tile is drawn with those. A tile is drawn
with `MARGIN` pixels more on each side, farther than anything in it reaches, so that the result is the same however it
is cut. It differs from the picture drawn at once by what the moments of the smaller copy differ: a little contrast.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial

import numpy as np

from .. import engine_cache, engines, export, images

# Pixels that are drawn at once: about 1.3 to 2.2 GB.
LARGEST_WHOLE = 1024 * 1024
# A tile's side without its margins, at most.
SIDE = 640
# The network's pixels see 51 others on each side: 3 by its first convolution, 1 to 4 by each later one.
MARGIN = 64
# The smaller copy, in pixels.
MEASURED = 640 * 640


class Tiled:
    """Draws pictures of any size whose sides need not be multiples of anything."""

    def __init__(self, measured: Callable, given: Callable, multiple_of: int):
        self._measured, self._given, self._multiple = measured, given, multiple_of

    @classmethod
    def of(cls, network, multiple_of: int) -> Tiled | None:
        """For a network of the engine cache, or AnimeGANv2's as a Layer; None where tiles would differ."""
        if isinstance(network, engines.ExportedNetwork):
            measured, given = (engine_cache.part(network, name) for name in ("measured", "given"))
            return cls(measured, given, multiple_of) if measured and given else None
        if not export.has_parts_for_tiles(network):
            return None
        norms = PaddleNorms(network)
        return cls(norms.measured, norms.given, multiple_of)

    def draw(self, image: np.ndarray) -> np.ndarray:
        """uint8 RGB [H, W, 3] to the same."""
        height, width = image.shape[:2]
        moments = self._moments(image)
        drawn = np.empty_like(image)
        for top, bottom in spans(height, SIDE, self._multiple):
            for left, right in spans(width, SIDE, self._multiple):
                above, before = max(0, top - MARGIN), max(0, left - MARGIN)
                tile = self._filled(image[above:bottom + MARGIN, before:right + MARGIN])
                result = images.to_images(self._given(images.to_array(tile), moments)[0])[0]
                drawn[top:bottom, left:right] = result[top - above:bottom - above, left - before:right - before]
        return drawn

    def _moments(self, image: np.ndarray) -> np.ndarray:
        """The norms' moments [norms, 2] of a smaller copy of the picture."""
        height, width = image.shape[:2]
        scale = min(1.0, math.sqrt(MEASURED / (height * width)))
        copy = images.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
        return self._measured(images.to_array(self._filled(copy)))[1]

    def _filled(self, image: np.ndarray) -> np.ndarray:
        """Sides filled up by reflection to what the network can halve."""
        below, right = (-side % self._multiple for side in image.shape[:2])
        return np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")


class PaddleNorms:
    """A Layer whose layer norms note their moments, or use given ones, where a call asks for that; several threads may
    call at once. The two calls are those of the parts that are exported (export_forms.py)."""

    def __init__(self, network):
        import paddle.nn as nn
        self._network = network
        self._norms = [layer for layer in network.sublayers() if isinstance(layer, nn.GroupNorm)]
        # Of the call that runs: [norms, 2] to be filled in, or to be used.
        self._noted: ContextVar[np.ndarray | None] = ContextVar("noted", default=None)
        self._used: ContextVar[np.ndarray | None] = ContextVar("used", default=None)
        for number, norm in enumerate(self._norms):
            norm.forward = partial(self._norm, norm, number)

    def measured(self, array: np.ndarray) -> list[np.ndarray]:
        """One picture [1, 3, H, W] to the result and the moments [norms, 2]: mean, and one over the deviation."""
        moments = np.zeros((len(self._norms), 2), np.float32)
        return [self._run(array, self._noted, moments), moments]

    def given(self, array: np.ndarray, moments: np.ndarray) -> list[np.ndarray]:
        """A picture with the moments of another."""
        return [self._run(array, self._used, moments)]

    def _run(self, array: np.ndarray, variable: ContextVar, moments: np.ndarray) -> np.ndarray:
        import paddle
        token = variable.set(moments)
        try:
            with paddle.no_grad():
                return self._network(paddle.to_tensor(array)).numpy()
        finally:
            variable.reset(token)

    def _norm(self, norm, number: int, x):
        noted, used = self._noted.get(), self._used.get()
        if noted is None and used is None:
            return type(norm).forward(norm, x)
        if noted is not None:
            noted[number] = _moments_of(x, norm._epsilon)
        mean, inverse = (noted if used is None else used)[number].tolist()
        scale = norm.weight.reshape([-1, 1, 1]) * inverse                        # [C, 1, 1]
        return x * scale + (norm.bias.reshape([-1, 1, 1]) - scale * mean)


def _moments_of(x, epsilon: float) -> tuple[float, float]:
    """Of x [1, C, H, W]: made from the channels', since one sum of so many values would round."""
    mean = x.mean([2, 3], keepdim=True)                                          # [1, C, 1, 1]
    squares = ((x - mean.expand_as(x)) ** 2).mean([2, 3])
    means = mean.numpy().astype(np.float64)
    variance = float(squares.numpy().astype(np.float64).mean() + means.var())
    return float(means.mean()), 1 / math.sqrt(variance + epsilon)


def spans(length: int, side: int, multiple: int) -> Iterator[tuple[int, int]]:
    """(start, end) of parts of about equal length, at most `side`, that start at multiples of `multiple`."""
    count = -(-length // side)
    step = -(-length // (count * multiple)) * multiple
    for start in range(0, length, step):
        yield start, min(length, start + step)
