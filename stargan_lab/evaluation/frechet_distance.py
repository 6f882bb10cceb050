"""The Fréchet distance between two Gaussians, and running means and covariances.

Shapes: n samples, D feature dimensions. Everything is float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf

from stargan_lab.errors import LabError

Array = NDArray[np.float64]

EXACT_UP_TO = 512
"""Largest rank for which singular values are computed directly; with fewer images than features it is usually lower."""


def frechet_distance(mu_a: Array, cov_a: Array, mu_b: Array, cov_b: Array) -> float:
    """Squared Fréchet distance |mu_a - mu_b|² + tr(A + B - 2 (AB)^½) (Dowson and Landau 1982; Heusel et al. 2017).

    The trace of (AB)^½ is the sum of the square roots of the eigenvalues of A^½ B A^½. With A = F Fᵀ and B = G Gᵀ these
    roots are the singular values of Fᵀ G. Singular covariances (fewer samples than dimensions) do not reduce precision,
    and all values are real.

    Args:
        mu_a, mu_b: (D,) means.
        cov_a, cov_b: (D, D) symmetric, positive semi-definite up to rounding.
    Returns:
        At least 0, symmetric, and 0 for equal arguments, up to rounding.
    Raises:
        LabError: an argument has a NaN or an infinity.
    """
    if not all(np.isfinite(part).all() for part in (mu_a, cov_a, mu_b, cov_b)):
        raise LabError("Fréchet distance: a mean or covariance is not finite; the features overflowed")
    factor_a, factor_b = _factor(cov_a), _factor(cov_b)
    overlap = _nuclear_norm(factor_a.T @ factor_b)
    shift = np.asarray(mu_a, np.float64) - np.asarray(mu_b, np.float64)
    return max(0.0, float(shift @ shift) + float(np.trace(cov_a)) + float(np.trace(cov_b)) - 2 * overlap)


def _nuclear_norm(matrix: Array) -> float:
    """Sum of the singular values.

    For a large matrix they are computed as the roots of the eigenvalues of M Mᵀ: in a fifth of the time, with an error
    of 3e-8 of the largest instead of 1e-16.
    """
    if not matrix.size:
        return 0.0
    if min(matrix.shape) <= EXACT_UP_TO:
        return float(np.linalg.svd(matrix, compute_uv=False).sum())
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return float(np.sqrt(np.linalg.eigvalsh(wide @ wide.T).clip(min=0)).sum())


def _factor(covariance: Array) -> Array:
    """(D, r) F with F Fᵀ = covariance, r its numerical rank: a pivoted Cholesky factor, ten times faster than
    eigenvectors at 2,048 dimensions and as precise."""
    # LAPACK stops when the rest of the diagonal is below the rounding error of the largest entry
    lower, pivots, rank, _ = dpstrf(np.asarray(covariance, np.float64), lower=1)
    factor = np.empty((len(lower), rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return factor


@dataclass
class Moments:
    """Running mean and covariance of features (pairwise update of Chan, Golub and LeVeque 1983).

    Attributes:
        n: number of samples.
        mean: (D,).
        scatter: (D, D), the sum of outer products of the deviations from the mean.
    """

    n: int
    mean: Array
    scatter: Array

    @classmethod
    def empty(cls, dims: int) -> "Moments":
        return cls(0, np.zeros(dims), np.zeros((dims, dims)))

    @classmethod
    def of(cls, features: NDArray[Any]) -> "Moments":
        """Of (n, D) features."""
        moments = cls.empty(features.shape[1])
        moments.update(features)
        return moments

    def update(self, features: NDArray[Any]) -> None:
        """Add (n, D) features; n may be 0."""
        if len(features) == 0:
            return
        features = np.asarray(features, np.float64)
        added, mean = len(features), features.mean(axis=0)
        shift, total = mean - self.mean, self.n + added
        centered = features - mean
        self.scatter += centered.T @ centered
        if self.n:
            self.scatter += np.outer(shift, shift) * (self.n * added / total)
        self.mean = self.mean + shift * (added / total)
        self.n = total

    @property
    def covariance(self) -> Array:
        """(D, D), with n - 1 as in ``numpy.cov`` and pytorch-fid. Raises LabError for fewer than two samples."""
        if self.n < 2:
            raise LabError(f"a covariance needs at least 2 images, got {self.n}")
        return np.asarray(self.scatter / (self.n - 1))

    def distance(self, other: "Moments") -> float:
        """Fréchet distance to ``other``."""
        return frechet_distance(self.mean, self.covariance, other.mean, other.covariance)


def pooled_distance(pairs: Sequence[tuple[Moments, Moments]]) -> float:
    """Fréchet distance of two mixtures in which every domain has the same weight, regardless of its number of images.

    Args:
        pairs: for each domain, the moments of both sides.
    """
    sides = [_mixture([pair[side] for pair in pairs]) for side in (0, 1)]
    return frechet_distance(*sides[0], *sides[1])


def _mixture(parts: Sequence[Moments]) -> tuple[Array, Array]:
    """Mean and covariance of a mixture in equal shares: the mean covariance plus the covariance of the means."""
    means = np.stack([part.mean for part in parts])
    centered = means - means.mean(axis=0)
    within = sum((part.covariance for part in parts), np.zeros_like(parts[0].scatter)) / len(parts)
    return means.mean(axis=0), within + centered.T @ centered / len(parts)
