"""Perceptual path length (Karras 2019, arXiv 1812.04948): how far a picture moves for a small step of its latent.

The paper measures pictures' distance by LPIPS, weighted VGG-16 features. Here it is the squared distance in a named
feature space, so the result is a path length in that space and never called the paper's PPL.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .features import FeatureSpace
from .result import Result

EPSILON = 1e-4


@dataclass(frozen=True)
class LatentPath:
    """A generator as path lengths see it."""

    space: Literal["z", "w"]                     # whose latents are interpolated
    interpolation: Literal["spherical", "linear"]     # spherical for normal z, linear for w and for uniform z
    draw: Callable[[np.random.RandomState, int], np.ndarray]      # (random, n) -> latents [n, D]
    # (latents [n, D], numbers of the samples [n]) -> pictures [n, 3, H, W] in [-1, 1]. The number picks a label.
    generate: Callable[[np.ndarray, np.ndarray], np.ndarray]


def path_length(path: LatentPath, features: FeatureSpace, count: int = 1000, seed: int = 0, epsilon: float = EPSILON,
                ends: bool = False, reject: float = 0.01, batch_size: int = 16) -> Result:
    """The mean of d(G(t), G(t + epsilon)) / epsilon^2 over `count` random paths, d as `features` has it.

    `ends`: t is 0, else anywhere on the path, evenly ("end" and "full" of the paper). The smallest and largest share
    `reject` of the values is left out, as in NVIDIA's code.
    """
    def distance(first, second):
        pictures = np.concatenate([first, second]).transpose(0, 2, 3, 1) * 127.5 + 127.5
        near, far = np.split(features.of(pictures).astype(np.float64), 2)
        return ((near - far) ** 2).sum(1)

    lengths = path_lengths(path, distance, count, seed, epsilon, ends, batch_size)
    kept = without_extremes(lengths, reject)
    protocol = {**features.identity(), "distance": "squared Euclidean", "latents": path.space, "generated": count,
                "interpolation": path.interpolation, "epsilon": epsilon, "sampling": "end" if ends else "full",
                "rejected": count - len(kept), "seed": seed}
    return Result("path length", {"mean": float(kept.mean()), "std": float(kept.std())}, protocol)


def path_lengths(path: LatentPath, distance, count: int, seed: int = 0, epsilon: float = EPSILON, ends: bool = False,
                 batch_size: int = 16) -> np.ndarray:
    """The length of each of `count` steps, [count]; `distance` takes two batches of pictures to [n]."""
    from tqdm import tqdm
    random = np.random.RandomState(seed)
    between = slerp if path.interpolation == "spherical" else lerp
    lengths = []
    for start in tqdm(range(0, count, batch_size), "path length", file=sys.stderr, disable=None, leave=False):
        numbers = np.arange(start, min(start + batch_size, count))
        first, last = path.draw(random, len(numbers)), path.draw(random, len(numbers))
        place = np.zeros(len(numbers)) if ends else random.uniform(size=len(numbers))
        near, far = (path.generate(between(first, last, at[:, None]), numbers) for at in (place, place + epsilon))
        lengths.append(distance(near, far) / epsilon ** 2)
    return np.concatenate(lengths)


def without_extremes(lengths: np.ndarray, share: float) -> np.ndarray:
    """`lengths` without those beyond the quantiles `share` and 1 - `share`."""
    low, high = np.quantile(lengths, share, method="lower"), np.quantile(lengths, 1 - share, method="higher")
    return lengths[(lengths >= low) & (lengths <= high)]


def lerp(first: np.ndarray, last: np.ndarray, place) -> np.ndarray:
    """The point at `place` from 0 to 1 on the straight line from `first` to `last`, [N, D]."""
    return first + (last - first) * place


def slerp(first: np.ndarray, last: np.ndarray, place) -> np.ndarray:
    """The same along the arc between the directions of `first` and `last` [N, D]; the length changes evenly."""
    lengths = [np.linalg.norm(ends, axis=1, keepdims=True) for ends in (first, last)]
    first, last = first / lengths[0], last / lengths[1]
    cosine = np.clip((first * last).sum(1, keepdims=True), -1, 1)
    ahead = last - cosine * first
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-12)
    angle = np.arccos(cosine) * place
    return (first * np.cos(angle) + ahead * np.sin(angle)) * lerp(*lengths, place)
