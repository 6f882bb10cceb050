import numpy as np
import pytest
from scipy.linalg import sqrtm

from stargan_lab.errors import LabError
from stargan_lab.evaluation.frechet_distance import Moments, frechet_distance


def gaussian(rng: np.random.Generator, dims: int) -> tuple[np.ndarray, np.ndarray]:
    root = rng.normal(size=(dims, dims + 5))
    return rng.normal(size=dims), root @ root.T / (dims + 5)


def test_one_dimension_by_hand() -> None:
    # (1 - 4)² + 4 + 9 - 2·2·3
    assert frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[9.0]])) == pytest.approx(10)


def test_diagonal_by_hand() -> None:
    # per dimension (a - b)² + (σ_a - σ_b)²: 1 + (1 - 3)², 0 + (2 - 2)², 4 + (0 - 5)²
    mu_a, mu_b = np.array([0.0, 7.0, 1.0]), np.array([1.0, 7.0, -1.0])
    assert frechet_distance(mu_a, np.diag([1.0, 4.0, 0.0]), mu_b, np.diag([9.0, 4.0, 25.0])) == pytest.approx(
        5 + 0 + 29
    )


def test_equals_the_matrix_square_root() -> None:
    rng = np.random.default_rng(0)
    for dims in (2, 7, 40):
        (mu_a, cov_a), (mu_b, cov_b) = gaussian(rng, dims), gaussian(rng, dims)
        expected = ((mu_a - mu_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
        assert frechet_distance(mu_a, cov_a, mu_b, cov_b) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_dimensions() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(12, 64)) * rng.lognormal(size=64), rng.normal(size=(20, 64)) + 0.3
    centered_a, centered_b = a - a.mean(0), b - b.mean(0)
    # tr (AB)^½ is the sum of the singular values of X Yᵀ for A = XᵀX, B = YᵀY
    overlap = np.linalg.svd(centered_a @ centered_b.T / np.sqrt(11 * 19), compute_uv=False).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - 2 * overlap
    value = frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    assert value == pytest.approx(expected, rel=1e-10)


def test_symmetric_and_zero_for_equal_sets_even_if_singular() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(10, 50)), rng.normal(size=(80, 50))
    first, second = (a.mean(0), np.cov(a, rowvar=False)), (b.mean(0), np.cov(b, rowvar=False))
    assert frechet_distance(*first, *second) == pytest.approx(frechet_distance(*second, *first), rel=1e-12)
    assert frechet_distance(*first, *first) == pytest.approx(0, abs=1e-11)
    assert frechet_distance(*second, *second) == pytest.approx(0, abs=1e-11)


def test_constant_features_compare_the_means() -> None:
    nothing = np.zeros((3, 3))
    assert frechet_distance(np.zeros(3), nothing, np.full(3, 2.0), nothing) == 12


def test_non_finite_features_are_refused() -> None:
    with pytest.raises(LabError, match="not finite"):
        frechet_distance(np.array([np.nan]), np.eye(1), np.zeros(1), np.eye(1))


@pytest.mark.parametrize("cuts", [[100], [0, 40, 40, 99]])
def test_moments_of_batches_equal_those_of_all_samples(cuts: list[int]) -> None:
    features = np.random.default_rng(3).normal(size=(100, 6)) * 3 + 1e4
    moments = Moments.empty(6)
    for part in np.split(features, cuts):
        moments.update(part)
    assert moments.n == 100
    np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-8)


def test_one_sample_has_no_covariance() -> None:
    moments = Moments.empty(2)
    moments.update(np.ones((1, 2)))
    with pytest.raises(LabError, match="at least 2 images, got 1"):
        _ = moments.covariance


@pytest.mark.parametrize("decay", [0.0, 30.0])
def test_eigenvalues_are_as_precise_in_many_dimensions(decay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the spectrum falls below what the eigenvalues of a product can resolve."""
    rng, dims = np.random.default_rng(4), 560
    scales = np.exp(-decay * np.arange(dims) / dims)
    sides = []
    for n in (900, 700):
        rows = rng.normal(size=(n, dims)) * scales + rng.normal(size=dims) * 0.1
        sides += [rows.mean(0), np.cov(rows, rowvar=False)]
    value, same = frechet_distance(*sides), frechet_distance(*sides[:2], *sides[:2])
    flipped = frechet_distance(*sides[2:], *sides[:2])
    monkeypatch.setattr("stargan_lab.evaluation.frechet_distance.EXACT_UP_TO", dims)
    assert value == pytest.approx(frechet_distance(*sides), rel=1e-7)
    assert value == pytest.approx(flipped, rel=1e-7)
    assert same < 1e-7 * np.trace(sides[1])
