"""Large pictures in bounded memory: AnimeGANv2 in tiles that meet without a seam.

Its layer norms use moments of the whole picture, so tiles drawn by themselves would not fit together. Here a smaller
copy of the whole picture is drawn first and its moments noted; then every tile is drawn with those. A tile is drawn
with `MARGIN` pixels more on each side, farther than anything in it reaches, so that the result is the same however it
is cut. It differs from the picture drawn at once by what the moments of the smaller copy differ: a little contrast.
"""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .. import engine_cache, engines, images

# Pixels that are drawn at once: about 1.3 to 2.2 GB.
LARGEST_WHOLE = 1024 * 1024
# A tile's side without its margins, at most.
SIDE = 768
# The network's pixels see 51 others on each side: 3 by its first convolution, 1 to 4 by each later one.
MARGIN = 64
# The smaller copy, in pixels.
MEASURED = 640 * 640


class Tiled:
    """Draws pictures of any size whose sides need not be multiples of anything."""

    def __init__(self, measured: engines.ExportedNetwork, given: engines.ExportedNetwork, multiple_of: int):
        self._measured, self._given, self._multiple = measured, given, multiple_of

    @classmethod
    def of(cls, network: engines.ExportedNetwork, multiple_of: int) -> Tiled | None:
        """For a network of the engine cache; None where it has no such parts."""
        measured, given = (engine_cache.part(network, name) for name in ("measured", "given"))
        return cls(measured, given, multiple_of) if measured and given else None

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


def spans(length: int, side: int, multiple: int) -> Iterator[tuple[int, int]]:
    """(start, end) of parts of about equal length, at most `side`, that start at multiples of `multiple`."""
    count = -(-length // side)
    step = -(-length // (count * multiple)) * multiple
    for start in range(0, length, step):
        yield start, min(length, start + step)
