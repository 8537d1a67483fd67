import jax
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from jaxgan.metrics.sliced_wasserstein import sliced_wasserstein


def test_on_a_line_it_is_the_distance_itself(key):
    """{0, 1, 3} to {5, 6, 8}: 5. {0, 3} to {1, 1, 4}: the masses 1/3, 1/6, 1/6 and 1/3 go 1, 1, 2 and 1."""
    line = lambda *x: np.array(x, float)[:, None]  # noqa: E731
    assert sliced_wasserstein(key, line(3, 0, 1), line(5, 8, 6)) == pytest.approx(5)
    a, b = line(3, 0), line(1, 1, 4)
    assert sliced_wasserstein(key, a, b, p=1) == pytest.approx(1 / 3 + 1 / 6 + 2 / 6 + 1 / 3)
    assert sliced_wasserstein(key, a, b) == pytest.approx(np.sqrt(1 / 3 + 1 / 6 + 4 / 6 + 1 / 3))


def test_unequal_sets_agree_with_scipy(key):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 1)), rng.normal(size=(47, 1)) * 2
    expected = wasserstein_distance(a[:, 0], b[:, 0])
    assert sliced_wasserstein(key, a, b, p=1) == pytest.approx(expected, rel=1e-12)
    twice = np.repeat(a, 2, 0)
    assert sliced_wasserstein(key, twice, b) == pytest.approx(sliced_wasserstein(key, a, b), rel=1e-12)


def test_a_shift_is_seen_at_its_length_over_root_d(key):
    """W_2 along a unit direction u is |t . u|, whose mean square is |t|^2 / d, with the deviation
    |t|^2 / d sqrt(2 (d - 1) / (d + 2)) of one direction."""
    d, n = 10, 2000
    x = np.random.default_rng(0).normal(size=(50, d))
    t = np.linspace(0, 1, d)
    found = sliced_wasserstein(key, x, x + t, projections=n) ** 2
    assert found == pytest.approx((t @ t) / d, rel=4 * np.sqrt(2 * (d - 1) / (d + 2) / n))
    assert sliced_wasserstein(key, x, x[::-1]) == 0


def test_directions_order_and_key(key):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(25, 6)) + 0.3
    found = sliced_wasserstein(key, a, b, projections=50)
    assert sliced_wasserstein(key, a[::-1], rng.permutation(b), projections=50) == pytest.approx(
        found, rel=1e-12
    )
    assert sliced_wasserstein(key, b, a, projections=50) == pytest.approx(found, rel=1e-12)
    assert sliced_wasserstein(jax.random.key(8), a, b, projections=50) != pytest.approx(found, rel=1e-3)
    with pytest.raises(ValueError, match="at least 1"):
        sliced_wasserstein(key, a, b, p=0.5)
    with pytest.raises(ValueError, match="columns"):
        sliced_wasserstein(key, a, b[:, :3])
