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
    distances = []
    for _ in range(subsets):
        chosen_fake = fake[random.choice(len(fake), size, replace=False)]
        chosen_real = real[random.choice(len(real), size, replace=False)]
        distances.append(squared_mmd(chosen_real, chosen_fake))
    return np.array(distances)


def squared_mmd(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy of [N, D] and [M, D] (Gretton 2012, eq. 3).

    The kernel is (x'y / D + 1)^3. Its expectation is 0 for two sets of one distribution, so it may come out negative.
    """
    within = sum((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
                 for kernel in (_cubic_kernel(first, first), _cubic_kernel(second, second)))
    return float(within - 2 * _cubic_kernel(first, second).mean())


def _cubic_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1) ** 3
