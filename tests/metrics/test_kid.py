import numpy as np
import pytest

from jaxgan.metrics.kid import kid, mmd2


def by_hand(x, y):
    """Over every pair, one by one."""
    kernel = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
    own = lambda x: np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])  # noqa: E731
    return own(x) + own(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def biased(x, y):
    kernel = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3  # noqa: E731
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def test_two_points_by_hand():
    """In 1-D, {0, 1} against {0, 2}: 1 + 1 - 2 (1 + 1 + 1 + 27) / 4."""
    assert mmd2([[0.0], [1.0]], [[0.0], [2.0]]) == pytest.approx(-13)


def test_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(13, 3)) + 1
    assert mmd2(x, y) == pytest.approx(by_hand(x, y), rel=1e-12)
    assert biased(x, y) != pytest.approx(by_hand(x, y), rel=1e-3)


def test_equals_the_published_programs(features):
    """clean-fid 0.1.35 and torch-fidelity 0.4.0 with one subset of all 400."""
    real, fake = features
    ours = mmd2(real[:400], fake)
    assert ours == pytest.approx(0.03392409785288663, rel=1e-9)
    assert ours == pytest.approx(0.033924097852886526, rel=1e-9)


def test_blocks_and_order_change_nothing(features):
    real, fake = features
    whole = mmd2(real, fake)
    for other in (mmd2(real, fake, block=64), mmd2(real[::-1], fake), mmd2(fake, real)):
        assert other == pytest.approx(whole, rel=1e-9)


def test_its_mean_over_samples_of_one_set_is_zero():
    """The biased estimate has the mean 2 (k(x, x) - k(x, y)) / n instead."""
    x = np.random.default_rng(0).normal(size=(4000, 8))
    halves = [np.random.default_rng(seed).permutation(x) for seed in range(40)]
    found = [
        kid(half[:2000], half[2000:], subsets=20, subset_size=100, seed=i) for i, half in enumerate(halves)
    ]
    error = np.mean([f.standard_error for f in found])
    assert abs(np.mean([f.mean for f in found])) < error
    assert np.std([f.mean for f in found]) == pytest.approx(error, rel=0.3)
    assert np.mean([biased(half[:100], half[2000:2100]) for half in halves]) > 5 * error


def test_more_subsets_than_rows_promise_no_more(features):
    real, fake = features
    some, many = (kid(real, fake, subsets=n, subset_size=100) for n in (50, 400))
    assert many.standard_error == pytest.approx(some.standard_error, rel=0.3)  # four are independent
    assert many.mean == pytest.approx(mmd2(real, fake), abs=3 * many.standard_error)
    assert kid(real, fake, subsets=50, subset_size=100) == some
    assert kid(real, fake, subsets=50, subset_size=100, seed=1) != some


def test_bad_input(features):
    real, fake = features
    with pytest.raises(ValueError, match="1000 from 500 real and 400 fake"):
        kid(real, fake)
    with pytest.raises(ValueError, match="64 columns and fake ones 63"):
        mmd2(real, fake[:, 1:])
    with pytest.raises(ValueError, match="fake features must have at least 2 rows"):
        mmd2(real, fake[:1])
    with pytest.raises(ValueError, match="fake features are not finite: 1 of 400 rows"):
        mmd2(real, np.where(np.arange(400)[:, None] == 7, np.nan, fake))
