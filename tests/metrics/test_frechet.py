import numpy as np
import pytest
from scipy import linalg

from jaxgan.metrics.frechet import frechet_distance, moments


def test_closed_form():
    """N(0, I) against N(mu, s^2 I): |mu|^2 + d (1 - s)^2 (Dowson and Landau 1982)."""
    d, s, mu = 6, 1.7, np.linspace(-1, 2, 6)
    a, b = (np.zeros(d), np.eye(d)), (mu, s**2 * np.eye(d))
    assert frechet_distance(a, b) == pytest.approx((mu**2).sum() + d * (1 - s) ** 2, rel=1e-12)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_equals_the_general_matrix_root():
    rng = np.random.default_rng(0)
    a, b = (moments(rng.normal(size=(500, 12)) @ rng.normal(size=(12, 12))) for _ in range(2))
    root = linalg.sqrtm(a[1] @ b[1]).real
    expected = ((a[0] - b[0]) ** 2).sum() + np.trace(a[1] + b[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_features():
    rng = np.random.default_rng(0)
    a, b = (moments(rng.normal(size=(5, 40))) for _ in range(2))
    assert np.isfinite(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [1000, 10_000])
def test_the_floor_of_finite_samples(n):
    """Two samples of N(0, I_d) are about 2d/n + d(d + 1)/(2n) apart, to first order in 1/n."""
    rng, d = np.random.default_rng(0), 64
    draw = lambda: moments(rng.normal(size=(n, d)))  # noqa: E731
    floor = 2 * d / n + d * (d + 1) / (2 * n)
    apart = np.mean([frechet_distance(draw(), draw()) for _ in range(5)])
    assert apart == pytest.approx(floor, rel=0.05)


def test_moments_are_of_float64_and_refuse_what_is_not_finite():
    x = np.float32([[1e4], [1e4 + 1e-3], [1e4 - 1e-3]])
    assert moments(x)[1][0, 0] == pytest.approx(x.astype(np.float64).var(ddof=1))
    with pytest.raises(ValueError, match="not finite"):
        moments([[1.0], [np.nan]])
    with pytest.raises(ValueError, match="at least 2 samples"):
        moments([[1.0]])
