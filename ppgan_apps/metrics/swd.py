"""The sliced Wasserstein distance of Laplacian pyramid patches (Karras 2018, arXiv 1710.10196, section 5).

It needs no features: patches of each level of the pyramid are compared as they are, so it tells at which scale
generated pictures differ. Numbers are times 1,000, as in the paper's table.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .result import Result

PATCHES, SIDE = 128, 7                       # from each picture and level; 7x7 pixels
REPEATS, DIRECTIONS = 4, 128                 # 512 projections
SMALLEST = 16                                # side of the pyramid's last level


def swd(real: Sequence[np.ndarray], fake: Sequence[np.ndarray], seed: int = 0) -> Result:
    """Distances times 1,000 by level and their mean; pictures are uint8 [H, W, 3], all of one size.

    Of the longer side only as many pictures are used as the other has.

    Raises DataError when sizes differ or a picture is smaller than 16 px.
    """
    from tqdm import tqdm
    count = min(len(real), len(fake))
    shapes = {np.shape(picture) for picture in (*real[:count], *fake[:count])}
    if len(shapes) != 1 or min(next(iter(shapes))[:2]) < SMALLEST:
        raise DataError(f"The sliced Wasserstein distance needs pictures of one size of {SMALLEST} px or more, not "
                        f"{', '.join(sorted(f'{shape[1]}x{shape[0]}' for shape in shapes)[:5])}.")
    shape = next(iter(shapes))
    values = {}
    levels = level_sides(min(shape[:2]))
    for number, side in enumerate(tqdm(levels, "sliced Wasserstein", file=sys.stderr, disable=None, leave=False)):
        random = np.random.RandomState([seed, number])
        sets = [descriptors(pictures[:count], number, len(levels), random) for pictures in (real, fake)]
        values[str(side)] = 1000 * sliced_wasserstein(*sets, random)
    values["mean"] = float(np.mean(list(values.values())))
    protocol = {"features": f"{SIDE}x{SIDE} patches of a Laplacian pyramid, {PATCHES} of each picture and level",
                "sha256": "none", "resizer": "none", "input_size": f"{shape[1]}x{shape[0]}", "real": count,
                "generated": count, "projections": REPEATS * DIRECTIONS, "seed": seed}
    return Result("sliced Wasserstein distance x1000", values, protocol)


def level_sides(side: int) -> list[int]:
    """The sides of the pyramid's levels: halved while even and not below 16 px."""
    sides = [side]
    while sides[-1] % 2 == 0 and sides[-1] // 2 >= SMALLEST:
        sides.append(sides[-1] // 2)
    return sides


def laplacian_pyramid(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    """What each halving loses, float32 [H, W, 3], [H / 2, W / 2, 3] ..., and last what is left."""
    pyramid = [np.asarray(picture, np.float32)]
    for _ in range(levels - 1):
        smaller = _halved(pyramid[-1])
        pyramid[-1] = pyramid[-1] - _doubled(smaller)
        pyramid.append(smaller)
    return pyramid


def descriptors(pictures: Sequence[np.ndarray], level: int, levels: int, random: np.random.RandomState) -> np.ndarray:
    """Random patches of one level of all pictures, float32 [N * 128, 147], each channel with mean 0 and deviation 1."""
    patches = []
    for picture in pictures:
        layer = laplacian_pyramid(picture, levels)[level]
        windows = np.lib.stride_tricks.sliding_window_view(layer, (SIDE, SIDE), (0, 1))   # [H - 6, W - 6, 3, 7, 7]
        tops, lefts = (random.randint(length, size=PATCHES) for length in windows.shape[:2])
        patches.append(windows[tops, lefts])
    patches = np.concatenate(patches)                                # [N * 128, 3, 7, 7]
    patches = patches - patches.mean((0, 2, 3), keepdims=True)
    patches /= np.maximum(patches.std((0, 2, 3), keepdims=True), 1e-8)
    return patches.reshape(len(patches), -1)


def sliced_wasserstein(first: np.ndarray, second: np.ndarray, random: np.random.RandomState,
                       repeats: int = REPEATS, directions: int = DIRECTIONS) -> float:
    """The mean over random directions of the 1-Wasserstein distance between the projections of two sets [N, D]."""
    distances = []
    for _ in range(repeats):
        axes = random.standard_normal((first.shape[1], directions)).astype(np.float32)
        axes /= np.linalg.norm(axes, axis=0)
        projected = [np.sort(points @ axes, axis=0) for points in (first, second)]        # [N, directions]
        distances.append(np.abs(projected[0] - projected[1]).mean())
    return float(np.mean(distances))


def _halved(layer: np.ndarray) -> np.ndarray:
    return _blurred(layer, 1.0)[::2, ::2]


def _doubled(layer: np.ndarray) -> np.ndarray:
    spread = np.zeros((2 * layer.shape[0], 2 * layer.shape[1], layer.shape[2]), np.float32)
    spread[::2, ::2] = layer
    return _blurred(spread, 4.0)


def _blurred(layer: np.ndarray, gain: float) -> np.ndarray:
    """The 5x5 binomial filter, mirrored beyond the border."""
    import cv2
    taps = np.array([1, 4, 6, 4, 1], np.float32) / 16
    return cv2.sepFilter2D(layer, -1, taps * np.float32(gain), taps, borderType=cv2.BORDER_REFLECT_101)
