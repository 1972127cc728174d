"""TensorFlow 1's bilinear resizing, which FID's published numbers were measured with."""
from __future__ import annotations

from functools import lru_cache

import numpy as np


def resize_like_tensorflow(picture: np.ndarray, size: int) -> np.ndarray:
    """[H, W, C], uint8 or float, to float32 [size, size, C], as tf.image.resize_bilinear with its defaults.

    Output pixel i samples position i * H / size: corners are not aligned, half a pixel is not added, and a picture that
    shrinks is not averaged first (so it aliases; that is part of the protocol).
    """
    rows, columns = (_matrix(length, size) for length in picture.shape[:2])
    values = np.asarray(picture, np.float32)
    stretched = np.tensordot(rows, values, (1, 0))                   # [size, W, C]
    return np.ascontiguousarray(np.tensordot(columns, stretched, (1, 1)).swapaxes(0, 1))


@lru_cache(maxsize=16)
def _matrix(length: int, size: int) -> np.ndarray:
    """What each of `size` outputs takes from each of `length` inputs, float32 [size, length]."""
    places = np.arange(size, dtype=np.float32) * np.float32(length / size)
    low = np.minimum(places.astype(int), length - 1)
    share = places - low
    matrix = np.zeros((size, length), np.float32)
    matrix[np.arange(size), low] += 1 - share
    matrix[np.arange(size), np.minimum(low + 1, length - 1)] += share
    return matrix
