import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg
from threadpoolctl import threadpool_info, threadpool_limits

from jaxgan.metrics import frechet
from jaxgan.metrics.frechet import (
    Statistics,
    fid_infinity,
    frechet_distance,
    intra_class_distances,
    merge,
    moments,
    statistics,
)


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


def test_equals_the_published_programs(features):
    """pytorch-fid 0.3.0 and clean-fid 0.1.35 (scipy 1.17.1), torch-fidelity 0.4.0, on the same features."""
    real, fake = features
    ours = frechet_distance(moments(real), moments(fake))
    for theirs in (4.5949956712800315, 4.5949956712800315, 4.594995671280174):
        assert ours == pytest.approx(theirs, rel=1e-9)
    with pytest.warns(UserWarning, match="biased"):
        few = frechet_distance(moments(real[:40]), moments(fake[:50]))
    assert few == pytest.approx(35.634158293371485, rel=1e-6)  # pytorch-fid's, of two singular covariances
    biased = tuple((x.mean(0), np.cov(x, rowvar=False, bias=True)) for x in (real, fake))
    assert frechet_distance(*biased) != pytest.approx(4.594995671280174, rel=1e-4)


@pytest.mark.filterwarnings("ignore:.*biased upwards")
def test_fewer_samples_than_features():
    rng = np.random.default_rng(0)
    a, b = (moments(rng.normal(size=(5, 40))) for _ in range(2))
    assert np.isfinite(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    one = Statistics(2, np.zeros(3), np.zeros((3, 3))).moments
    assert frechet_distance(one, (np.ones(3), np.eye(3))) == pytest.approx(6)


def test_a_singular_covariance_loses_no_digits():
    """diag(1, 0, ...) against diag(0, 1, ...) share no direction: the trace of the root is 0 exactly, where
    the root of an eigenvalue's rounding error is 1e-8 for each dimension."""
    d = 60
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    a, b = ((np.zeros(d), turn @ np.diag(np.eye(d)[i]) @ turn.T) for i in (0, 1))
    assert frechet_distance(a, b) == pytest.approx(2, rel=1e-12)
    c = (np.zeros(d), np.eye(d))
    assert frechet_distance(a, c) == pytest.approx(d - 1, rel=1e-12)


def test_too_few_samples_are_told():
    x = np.random.default_rng(0).normal(size=(9, 8))
    moments(x)  # is regular, and warnings are errors
    with pytest.warns(UserWarning, match="8 samples of 8 features: .* singular.* biased upwards"):
        moments(x[:8])


@pytest.mark.parametrize(("n", "expected"), [(1000, 2.28), (2000, 1.06), (10_000, 0.21)])
def test_the_floor_of_finite_samples(n, expected):
    """Two samples of N(0, I_d) are about 2d/n + d(d + 1)/(2n) apart, to first order in 1/n."""
    rng, d = np.random.default_rng(0), 64
    draw = lambda: moments(rng.normal(size=(n, d)))  # noqa: E731
    floor = 2 * d / n + d * (d + 1) / (2 * n)
    apart = np.mean([frechet_distance(draw(), draw()) for _ in range(5)])
    assert apart == pytest.approx(floor, rel=0.05)
    assert apart == pytest.approx(expected, rel=0.07)


def test_moments_are_of_float64_and_refuse_what_is_not_finite():
    x = np.float32([[1e4], [1e4 + 1e-3], [1e4 - 1e-3]])
    assert moments(x)[1][0, 0] == pytest.approx(x.astype(np.float64).var(ddof=1))
    with pytest.raises(ValueError, match="not finite"):
        moments([[1.0], [np.nan]])
    with pytest.raises(ValueError, match="at least 2 samples"):
        moments([[1.0]])
    with pytest.raises(ValueError, match="moments are not finite"):
        frechet_distance((np.zeros(1), np.eye(1)), (np.array([np.nan]), np.eye(1)))


def test_merged_batches_are_the_whole():
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=(1000, 8)) @ rng.normal(size=(8, 8))
    exact = np.cov((x - 1e6).T)
    for cuts in ([1, 2, 500], [100, 200, 300, 999], range(1, 1000)):
        parts = [statistics(part) for part in np.split(x, cuts)]
        for order in (parts, parts[::-1], [parts[i] for i in rng.permutation(len(parts))]):
            merged = merge(*order).moments
            np.testing.assert_allclose(merged.mean, x.mean(0), rtol=1e-9)
            np.testing.assert_allclose(merged.covariance, exact, rtol=1e-9, atol=1e-9 * exact.max())
    sums = (x.T @ x - len(x) * np.outer(x.mean(0), x.mean(0))) / (len(x) - 1)
    assert np.abs(sums - exact).max() > 1e-6 * exact.max()  # as a plain sum of squares would have it


def test_statistics_depend_on_neither_blocks_nor_order():
    x = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32) + 1000
    whole = statistics(x)
    for other in (statistics(x, block=7), statistics(x[::-1]), statistics(jnp.asarray(x))):
        assert other.n == whole.n
        assert other.scatter.dtype == np.float64
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(other.scatter, whole.scatter, rtol=1e-9, atol=1e-9 * 300)
    single = statistics(x[:1])
    assert single.scatter.tolist() == np.zeros((5, 5)).tolist()
    with pytest.raises(ValueError, match="at least 2 samples"):
        _ = single.moments


def test_fid_infinity_takes_the_bias_away():
    d, s = 32, 1.5
    exact, reference = d * (1 - s) ** 2, (np.zeros(d), s**2 * np.eye(d))
    samples = [np.random.default_rng(seed).normal(size=(4000, d)) for seed in range(3)]
    found = [fid_infinity(x, reference, smallest=400) for x in samples]
    biased = [frechet_distance(moments(x), reference) for x in samples]
    assert np.mean(biased) - exact > 0.09
    assert np.mean(found) == pytest.approx(exact, abs=0.04)
    x = samples[0]
    assert fid_infinity(x, reference, smallest=400) == found[0]
    assert fid_infinity(x, reference, smallest=400, seed=1) != found[0]
    with pytest.raises(ValueError, match="no line through 15 subsets of 5000 to 4000"):
        fid_infinity(x, reference)


def test_the_intra_class_distance_sees_labels_that_are_ignored():
    rng = np.random.default_rng(0)
    label = np.arange(900) % 3
    real = rng.normal(size=(900, 4)) + 10 * label[:, None]
    shuffled = rng.permutation(900)
    right = intra_class_distances(real, label, real[shuffled], label[shuffled])
    assert list(right) == [0, 1, 2]
    assert max(right.values()) < 1e-9
    wrong = intra_class_distances(real, label, real[shuffled], label)
    assert frechet_distance(moments(real), moments(real[shuffled])) < 1e-9
    # Each class is then a sample of all, which is apart by (10, 0, 10) and a standard deviation of 8.2.
    assert wrong[0] > 400
    by_hand = frechet_distance(moments(real[shuffled][label == 1]), moments(real[label == 1]))
    assert wrong[1] == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="class 2 has 0 fake samples"):
        intra_class_distances(real, label, real[label < 2], label[label < 2])
    with pytest.raises(ValueError, match="class 3 has no real samples"):
        intra_class_distances(real, label, real, label + 1)
    with pytest.raises(ValueError, match="one for each row"):
        intra_class_distances(real, label[:5], real, label)


def test_classes_of_few_samples_are_told_once():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(120, 8)), np.repeat([0, 1, 2], [100, 12, 8])
    with pytest.warns(UserWarning, match="^1 of 3 classes have no more samples than features, 8: ") as told:
        intra_class_distances(x, label, x, label)
    assert len(told) == 1


@pytest.mark.parametrize(("d", "one"), [(128, True), (frechet.SMALL + 1, False)])
def test_small_matrices_take_one_thread_of_blas(d, one, monkeypatch):
    """Its threads wait for each other; those of large ones pay, and all are given back."""

    def threads():
        return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]

    seen = []

    def svd(x, **options):
        seen.append(threads())
        return np.ones(d)

    monkeypatch.setattr(np.linalg, "svd", svd)
    moment = np.zeros(d), np.eye(d)
    with threadpool_limits(2, "blas"):
        before = threads()
        frechet_distance(moment, moment)
        assert threads() == before
    assert seen == [[1] * len(before) if one else before]
