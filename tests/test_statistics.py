import math

import numpy as np
import pytest
from scipy import stats

from jaxgan import statistics
from jaxgan.statistics import badness, holm, logarithmic, needed, sign_flip, summary, versus

REPETITIONS = 2000


def _coverage(n: int, log: bool, interval) -> float:
    """The share of repetitions in which an interval over n seeds holds the truth: the mean of normal values,
    the median of log-normal ones of a spread of 0.5."""
    rng = np.random.default_rng(n)
    values = rng.normal(size=(REPETITIONS, n))
    values, truth = (np.exp(0.5 * values), 1.0) if log else (values, 0.0)
    ends = [interval(own) for own in values]
    return float(np.mean([low <= truth <= high for low, high in ends]))


def _student(log):
    within = (0, None) if log else (None, None)
    return lambda x: summary(x, better="lower", within=within, log=log).interval


def _bootstrap(log):
    def interval(x):
        middle = stats.gmean if log else np.mean
        resamples = np.random.default_rng(0).choice(x, (500, len(x)))
        return np.quantile(middle(resamples, axis=1), [0.025, 0.975])

    return interval


@pytest.mark.parametrize("n", [3, 5, 8, 16])
@pytest.mark.parametrize(("log", "low", "high"), [(False, 0.93, 0.97), (True, 0.91, 0.98)])
def test_intervals_hold_the_truth_as_often_as_they_say(n, log, low, high):
    assert low <= _coverage(n, log, _student(log)) <= high


@pytest.mark.parametrize(("n", "most"), [(3, 0.80), (5, 0.88), (8, 0.91)])
def test_a_percentile_bootstrap_does_not(n, most):
    """The negative control: at five seeds it holds it in 85 %."""
    assert _coverage(n, False, _bootstrap(False)) < most
    assert _coverage(n, True, _bootstrap(True)) < most


def test_a_summary_by_hand():
    found = summary([1.0, 2.0, 6.0], better="lower")
    assert (found.n, found.mean, found.median, found.worst) == (3, 3.0, 2.0, 6.0)
    half = 4.302653 * math.sqrt(7) / math.sqrt(3)  # t with two degrees of freedom
    np.testing.assert_allclose(found.interval, (3 - half, 3 + half), rtol=1e-6)
    assert summary([1.0, 2.0, 6.0], better="higher").worst == 1.0
    assert summary([0.5, 1.1], better="nearer to 1").worst == 0.5
    log = summary([1.0, 4.0, 16.0], better="lower", within=(0, None), log=True)
    assert log.mean == pytest.approx(4)
    half = 4.302653 * math.log(4) / math.sqrt(3)
    np.testing.assert_allclose(log.interval, (4 / math.exp(half), 4 * math.exp(half)), rtol=1e-5)
    assert summary([0.1, 0.9], better="higher", within=(0, 1)).interval == (0, 1)
    assert summary([2.0], better="lower").interval is None


def test_what_is_summarised_by_its_logarithm():
    assert logarithmic([0.1, 3], (0, None))
    assert not logarithmic([0.0, 3], (0, None))
    assert not logarithmic([0.1, 0.3], (0, 1))
    assert not logarithmic([0.1, 0.3], (None, None))
    assert not logarithmic([], (0, None))


def test_badness():
    assert badness([1, 3], "lower").tolist() == [1, 3]
    assert badness([1, 3], "higher").tolist() == [-1, -3]
    assert badness([1, 3], "nearer to 2.5").tolist() == [1.5, 0.5]


def test_sign_flips_by_hand():
    """All signs alike has the least p, 2 / 2^n; of 1 and -1 each of the four is as far from 0 or farther."""
    for n in (3, 5, 6, 8, 16):
        assert sign_flip(np.arange(1, n + 1)) == pytest.approx(2 / 2**n)
    assert sign_flip([1.0, -1.0]) == 1
    # Of (3, 1, -1): |sum| >= 3 for +++ 3, ++- 5, +-+ 1 ... five of eight signs.
    signs = [abs(a * 3 + b - c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    assert sign_flip([3.0, 1.0, -1.0]) == pytest.approx(np.mean(np.array(signs) >= 3))
    assert sign_flip(np.zeros(6)) == 1


def test_sign_flips_of_many_are_drawn_and_the_same_each_time():
    x = np.random.default_rng(0).normal(0.4, 1, 24)
    assert sign_flip(x) == sign_flip(x)
    assert sign_flip(x) == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=0.3)


def test_the_pairs_that_a_power_takes():
    """Published tables of the paired t-test (Cohen 1988)."""
    assert [needed(effect) for effect in (0.5, 0.8, 1, 1.5, 2)] == [34, 15, 10, 6, 5]
    assert needed(-0.8) == 15
    assert [needed(effect) for effect in (9.1, 20, 1000)] == [3, 2, 2]
    assert needed(1e-3) is None
    rng, n = np.random.default_rng(0), needed(0.8)
    found = stats.ttest_1samp(rng.normal(0.8, 1, (4000, n)), 0, axis=1).pvalue < 0.05
    assert 0.78 < found.mean() < 0.84


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_comparison_is_paired():
    """A difference that is the same for every seed is seen through a spread that is far larger than it."""
    baseline = np.array([1.0, 5.0, 9.0, 2.0, 7.0, 4.0])
    own = baseline - 0.1 + 0.01 * np.array([1, -1, 1, -1, 1, -1])
    found = versus(own, baseline, better="lower")
    assert (found.pairs, found.difference) == (6, pytest.approx(-0.1))
    assert -0.12 < found.interval[0] < found.interval[1] < -0.08
    assert found.p == pytest.approx(1 / 32)
    assert found.needed == 3
    assert found.better == pytest.approx(21 / 36)  # of all pairs of seeds, its own among them
    shuffled = versus(own, baseline[::-1], better="lower")  # the negative control: the pairs are others
    assert shuffled.interval[0] < -1
    assert shuffled.interval[1] > 1


def test_a_ratio_on_the_logarithm():
    found = versus([2.0, 4.0, 16.0], [1.0, 2.0, 8.0], better="lower", log=True)
    assert found.difference == pytest.approx(2)
    assert found.interval == (pytest.approx(2), pytest.approx(2))
    assert found.p is None


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_probability_of_improvement(better):
    found = versus([1.0, 2.0], [3.0, 2.0], better=better)
    assert found.better == {"lower": 3.5 / 4, "higher": 0.5 / 4}[better]


def test_nearer_to_is_compared_by_the_distance():
    found = versus([0.9, 1.1], [0.5, 1.5], better="nearer to 1")
    assert found.difference == pytest.approx(-0.4)
    assert found.better == 1


@pytest.mark.parametrize("n", [1, 2, 5])
def test_too_few_pairs_have_no_p(n):
    assert versus(np.arange(n) + 1.0, np.arange(n) + 3.0, better="lower").p is None
    assert statistics.FEWEST == 6


def test_no_difference_at_all():
    found = versus([2.0, 2.0, 2.0], [2.0, 2.0, 2.0], better="lower")
    assert (found.difference, found.interval, found.better, found.needed) == (0, (0, 0), 0.5, None)
    assert versus([3.0], [2.0], better="lower").interval is None
