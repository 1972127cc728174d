"""Improved precision and recall (Kynkaanniemi 2019, arXiv 1904.06991): how real, and how varied, pictures are."""
from __future__ import annotations

import numpy as np

from .features import Features
from .result import Result

NEIGHBOURS = 3                               # k of the paper
_ROWS = 1024                                 # of distances computed at a time


def precision_recall(real: Features, fake: Features, neighbours: int = NEIGHBOURS) -> Result:
    """Precision: the share of generated pictures within the real ones' manifold. Recall: the reverse.

    The paper measures in VGG-16's features; here the result states which space it is.
    """
    neighbours = min(neighbours, len(real) - 1, len(fake) - 1)
    precision, recall = manifold_shares(real.values, fake.values, neighbours)
    return Result("precision and recall", {"precision": precision, "recall": recall},
                  real.protocol(fake, neighbours=neighbours))


def manifold_shares(real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """(precision, recall) of feature sets [N, D] and [M, D]: eq. 1 to 3 of the paper.

    A set's manifold is the union of a ball around each of its points that reaches its k-th nearest neighbour.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    return _share_inside(fake, real, _radii(real, neighbours)), _share_inside(real, fake, _radii(fake, neighbours))


def _radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """The squared distance of each point to its k-th nearest other point, [N]."""
    rows = []
    for start, block in _blocks(points):
        distances = _squared_distances(block, points)
        own = np.arange(len(block))
        distances[own, start + own] = 0                        # rounding must not move a point away from itself
        rows.append(np.partition(distances, neighbours, axis=1)[:, neighbours])
    return np.concatenate(rows)


def _share_inside(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> float:
    """The share of `points` that lie in at least one ball."""
    inside = sum(int((_squared_distances(block, centres) <= radii).any(1).sum()) for _, block in _blocks(points))
    return inside / len(points)


def _blocks(points: np.ndarray):
    for start in range(0, len(points), _ROWS):
        yield start, points[start:start + _ROWS]


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[N, D] and [M, D] to [N, M]."""
    squares = (first ** 2).sum(1)[:, None] + (second ** 2).sum(1) - 2 * first @ second.T
    return np.maximum(squares, 0)
