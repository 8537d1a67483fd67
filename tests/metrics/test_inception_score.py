import numpy as np
import pytest

from jaxgan.metrics.inception_score import inception_score

LOGITS = np.random.default_rng(1).normal(size=(500, 10)) * 3


def test_its_ends():
    k = 10
    sure = np.tile(np.eye(k), (20, 1))
    assert inception_score(sure) == pytest.approx((k, 0))
    assert inception_score(np.tile(sure[:1], (200, 1))) == pytest.approx((1, 0))
    assert inception_score(np.full((200, k), 1 / k)) == pytest.approx((1, 0))
    assert inception_score(np.repeat(sure, 10, 0)[:100], splits=10)[0] == pytest.approx(1)  # a class a split


def test_by_hand():
    """p(class) is (1/2, 1/2); each KL is 0.9 log 1.8 + 0.1 log 0.2."""
    p = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = np.exp(0.9 * np.log(1.8) + 0.1 * np.log(0.2))
    assert inception_score(p, splits=1)[0] == pytest.approx(expected, rel=1e-12)
    assert inception_score(np.log(p) + 700, logits=True, splits=1)[0] == pytest.approx(expected, rel=1e-9)


def test_equals_a_published_program():
    """torch-fidelity 0.4.0, ten splits in the order of the rows."""
    mean, std = inception_score(LOGITS, logits=True)
    assert mean == pytest.approx(3.839273675488113, rel=1e-12)
    assert std == pytest.approx(0.35306142908684474, rel=1e-12)


def test_the_order_matters_to_splits_alone():
    order = np.random.default_rng(0).permutation(500)
    one, other = (inception_score(x, logits=True, splits=1)[0] for x in (LOGITS, LOGITS[order]))
    assert one == pytest.approx(other, rel=1e-12)
    assert inception_score(LOGITS[order], logits=True) != inception_score(LOGITS, logits=True)
    assert inception_score(LOGITS, logits=True)[0] < one  # fewer rows, a lower score


def test_bad_input():
    with pytest.raises(ValueError, match="are they logits"):
        inception_score(LOGITS)
    with pytest.raises(ValueError, match="at least 10 rows, not 9"):
        inception_score(LOGITS[:9], logits=True)
    with pytest.raises(ValueError, match="not finite"):
        inception_score(np.where(LOGITS > 8, np.inf, LOGITS), logits=True)
