"""The kernel distance between two sets of features, called KID when they are Inception's (Binkowski 2018)."""
from __future__ import annotations

import numpy as np

from .features import Features
from .result import Result

SUBSETS, SUBSET_SIZE = 100, 1000             # torch-fidelity's defaults


def kid(real: Features, fake: Features, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE,
        seed: int = 0) -> Result:
    """KID (arXiv 1801.01401) in Inception's features; in another space the "kernel distance" in it.

    Mean and deviation over random subsets, which hold half of the smaller set at most, lest they all be the same.
    """
    size = min(subset_size, max(2, min(len(real), len(fake)) // 2))
    distances = kernel_distances(real.values, fake.values, subsets, size, seed)
    protocol = real.protocol(fake, subsets=subsets, subset_size=size, seed=seed)
    name = "KID" if real.space.is_inception else "kernel distance"
    return Result(name, {"mean": float(distances.mean()), "std": float(distances.std())}, protocol)


def kernel_distances(real: np.ndarray, fake: np.ndarray, subsets: int, size: int, seed: int) -> np.ndarray:
    """The unbiased squared MMD of `subsets` random pairs of subsets of `size` rows, [subsets].

    The draws are torch-fidelity's, for which the generated set comes first.
    """
    random = np.random.RandomState(seed)
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    drawn = [[random.choice(len(rows), size, replace=False) for rows in (fake, real)] for _ in range(subsets)]
    if max(len(real), len(fake)) ** 2 > subsets * size ** 2:
        return np.array([squared_mmd(real[chosen_real], fake[chosen_fake]) for chosen_fake, chosen_real in drawn])
    return _from_whole_kernels(real, fake, *(np.stack(chosen) for chosen in zip(*drawn)))


def _from_whole_kernels(real, fake, chosen_fake, chosen_real) -> np.ndarray:
    """The same from the kernels of the whole sets: a sum over a subset is a product with its indicator."""
    size = chosen_real.shape[1]
    inside_real, inside_fake = _indicators(chosen_real, len(real)), _indicators(chosen_fake, len(fake))
    within = np.zeros(len(inside_real))
    for points, inside in ((real, inside_real), (fake, inside_fake)):
        kernel = _cubic_kernel(points, points)
        within += ((inside @ kernel * inside).sum(1) - inside @ np.diagonal(kernel)) / (size * (size - 1))
    return within - 2 * (inside_real @ _cubic_kernel(real, fake) * inside_fake).sum(1) / size ** 2


def _indicators(chosen: np.ndarray, count: int) -> np.ndarray:
    """Numbers of rows [subsets, size] to 0 and 1, [subsets, count]."""
    inside = np.zeros((len(chosen), count))
    np.put_along_axis(inside, chosen, 1, axis=1)
    return inside


def squared_mmd(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy of [N, D] and [M, D] (Gretton 2012, eq. 3).

    The kernel is (x'y / D + 1)^3. Its expectation is 0 for two sets of one distribution, so it may come out negative.
    """
    within = sum((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
                 for kernel in (_cubic_kernel(first, first), _cubic_kernel(second, second)))
    return float(within - 2 * _cubic_kernel(first, second).mean())


def _cubic_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    base = first @ second.T / first.shape[1] + 1
    return base * base * base                                  # numpy's power is many times slower
