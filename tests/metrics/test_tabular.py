import numpy as np
import pytest

from jaxgan.metrics.tabular import (
    closeness,
    correlations,
    dimension_wise_probability,
    f1,
    membership,
    pair_error,
    r2,
)


def test_by_hand():
    real = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]], np.uint8)
    fake = np.array([[1, 1, 0, 0], [0, 0, 1, 0]], bool)
    found = dimension_wise_probability(real, fake)
    assert found.real.tolist() == [1, 0.25, 0.5, 0]
    assert found.fake.tolist() == [0.5, 0.5, 0.5, 0]
    # Deviations of (9, -3, 1, -7) / 16 and (2, 2, 2, -6) / 16.
    assert found.correlation == pytest.approx(56 / np.sqrt(140 * 48), rel=1e-12)
    assert found.max_error == 0.5


def test_correlation_alone_is_fooled():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20)
    real = (rng.uniform(size=(5000, 20)) < p).astype(np.float32)
    again = (rng.uniform(size=(5000, 20)) < p).astype(np.float32)
    halved = (rng.uniform(size=(5000, 20)) < p / 2).astype(np.float32)
    good, bad = (dimension_wise_probability(real, x) for x in (again, halved))
    assert good.correlation > 0.99
    assert bad.correlation > 0.99
    assert good.max_error < 5 * np.sqrt(0.5 / 5000)
    assert bad.max_error > 0.4
    order = rng.permutation(5000)
    assert dimension_wise_probability(real[order], again).max_error == pytest.approx(good.max_error, rel=1e-9)


def test_bad_input():
    assert np.isnan(dimension_wise_probability(np.ones((3, 2)), np.eye(2)).correlation)
    with pytest.raises(ValueError, match="not finite"):
        dimension_wise_probability([[np.nan]], [[1.0]])
    with pytest.raises(ValueError, match="2 columns and fake ones 1"):
        dimension_wise_probability(np.ones((3, 2)), [[1.0]])


def test_correlations_are_numpys_and_of_what_does_not_vary_0():
    x = np.random.default_rng(0).normal(size=(50, 4)) @ np.array([[1, 1, 0, 0], [0, 1, 1, 0]]).repeat(2, 0)
    x[:, 3] = 7.3
    expected = np.corrcoef(x[:, :3].T)
    found = correlations(x)
    np.testing.assert_allclose(found[:3, :3], expected, atol=1e-12)
    assert (found[3] == 0).all()


def test_the_error_of_pairs_by_hand():
    """Correlations 1 and -1 of one pair: an error of 2; indicators of one column are no pair."""
    x = np.array([[0.0, 0], [1, 1]])
    assert pair_error(x, x[:, :1] * [[1, -1]]) == 2
    assert pair_error(x, x) == 0
    three = np.array([[1.0, 0, 1], [0, 1, 0]])
    other = np.array([[1.0, 0, 0], [0, 1, 1]])
    assert pair_error(three, other, [0, 0, 1]) == 2  # two pairs, and not the third, whose error is 0
    with pytest.raises(ValueError, match="no pair"):
        pair_error(x, x, [0, 0])


def test_a_label_is_learnt_and_of_noise_it_is_not():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 3)), rng.normal(size=(200, 3))
    label = lambda x: (x[:, 0] > 0).astype(int)  # noqa: E731
    assert f1(x, label(x), y, label(y)) > 0.97
    assert 0.3 < f1(x, rng.permutation(label(x)), y, label(y)) < 0.7
    classes = lambda x: np.digitize(x[:, 1], [-0.5, 0.5])  # noqa: E731
    assert f1(x, classes(x), y, classes(y)) > 0.9
    assert f1(x, rng.permutation(classes(x)), y, classes(y)) < 0.5
    # One class alone is found everywhere: of ones a precision of their share, of zeros none.
    ones = np.ones(200, int)
    assert f1(x, ones.repeat(2), y, label(y)) == pytest.approx(2 * label(y).mean() / (1 + label(y).mean()))
    assert f1(x, 0 * ones.repeat(2), y, label(y)) == 0


def test_the_share_of_a_variance_is_that_of_a_line():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4000, 2)), rng.normal(size=(4000, 2))
    value = lambda x: 3 + x @ [1, 2] + np.sqrt(5) * rng.normal(size=len(x))  # noqa: E731
    assert r2(x, value(x), y, value(y)) == pytest.approx(0.5, abs=0.03)
    # What chance leaves of the slopes, sqrt(10 / 4000) each, explains 0.022 of it, as one deviation.
    assert r2(x, rng.permutation(value(x)), y, value(y)) < 0.07
    assert r2(x, value(x), y, np.zeros(4000)) == 0


def test_copies_give_members_away_and_others_do_not():
    rng = np.random.default_rng(0)
    members, others, more = rng.normal(size=(3, 300, 4))
    assert membership(members, others, members) == 1
    assert membership(members, others, more) == pytest.approx(0.5, abs=0.06)
    assert membership(members, others, others) == 0
    assert membership(members, members, more) == 0.5  # ties
    assert membership([[0.0], [2.0]], [[1.0]], [[0.0]]) == 0.5  # one of two is nearer
    assert closeness(members, others, members) == 0
    assert closeness(members, others, others) == 1
    assert closeness(members, others, more) == pytest.approx(1, abs=0.15)
    assert closeness(members, others, 3 * more) > 1.5
    assert np.isnan(closeness(members, members, more))
