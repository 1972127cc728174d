"""The Frechet distance between two sets of features, called FID when they are Inception's (Heusel 2017)."""
from __future__ import annotations

import numpy as np

from .features import Features
from .result import Result


def fid(real: Features, fake: Features) -> Result:
    """FID (arXiv 1706.08500, eq. 6) in Inception's features; in another space the "Frechet distance" in it."""
    name = "FID" if real.space.is_inception else "Frechet distance"
    return Result(name, {"value": frechet_distance(real.values, fake.values)}, real.protocol(fake))


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets [N, D] and [M, D] taken as normally distributed.

    S1 = A'A with A the centred rows over sqrt(N - 1), likewise S2 = B'B. The eigenvalues of S1 S2 are those of the
    symmetric (A B')(A B')', so the trace of the root is the sum of the singular values of A B'. Nothing is squared that
    has to be rooted again, so fewer pictures than dimensions are no trouble, unlike for a matrix root of S1 S2.
    """
    real_mean, real_factor = _mean_and_factor(real)
    fake_mean, fake_factor = _mean_and_factor(fake)
    return _from_factors(real_mean, real_factor, fake_mean, fake_factor)


def frechet_distance_of_moments(mean_1, covariance_1, mean_2, covariance_2) -> float:
    """The same from means [D] and covariances [D, D], such as published statistics are."""
    return _from_factors(np.asarray(mean_1, np.float64), _symmetric_factor(covariance_1),
                         np.asarray(mean_2, np.float64), _symmetric_factor(covariance_2))


def _from_factors(mean_1, factor_1, mean_2, factor_2) -> float:
    crossed = np.linalg.svd(factor_1 @ factor_2.T, compute_uv=False).sum()
    return float(((mean_1 - mean_2) ** 2).sum() + (factor_1 ** 2).sum() + (factor_2 ** 2).sum() - 2 * crossed)


def _mean_and_factor(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean [D], A [min(N, D), D] with A'A the unbiased covariance), in float64."""
    values = np.asarray(features, np.float64)
    mean = values.mean(0)
    factor = (values - mean) / np.sqrt(len(values) - 1)
    return mean, factor if len(factor) <= factor.shape[1] else np.linalg.qr(factor, mode="r")


def _symmetric_factor(covariance) -> np.ndarray:
    """A with A'A = covariance; eigenvalues that rounding has made negative count as zero."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
