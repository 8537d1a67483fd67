import numpy as np
import pytest

from jaxgan.metrics.ngrams import copied, divergences, nearest, of_shares, repeated


def _tokens(*rows):
    return np.array(rows, np.int32)


def test_divergences_by_hand():
    """Unigrams alike and bigrams apart; unigrams of (3/4, 1/4) and (1/4, 3/4) are 1 - H(1/4) bits apart."""
    a, b = _tokens([0, 1, 0, 1]), _tokens([0, 0, 1, 1])
    one, two = divergences(a, b, 2)
    assert one == 0
    # Bigrams 01 10 01 and 00 01 11: (2/3, 1/3, 0, 0) and (1/3, 0, 1/3, 1/3).
    p, q = np.array([2, 1, 0, 0]) / 3, np.array([1, 0, 1, 1]) / 3
    m = (p + q) / 2
    kl = lambda x: sum(x[i] * np.log2(x[i] / m[i]) for i in range(4) if x[i])  # noqa: E731
    assert two == pytest.approx((kl(p) + kl(q)) / 2)
    (three,) = divergences(_tokens([0, 0, 0, 1]), _tokens([1, 1, 1, 0]), 1)
    entropy = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert three == pytest.approx(1 - entropy)


def test_divergences_of_equal_and_of_disjoint_sets():
    rng = np.random.default_rng(0)
    a = rng.integers(5000, size=(30, 8)).astype(np.int32)
    assert divergences(a, a[::-1]) == [0, 0, 0, 0]
    np.testing.assert_allclose(divergences(a, a + 5000), 1)
    assert len(divergences(a[:, :2], a[:, :2])) == 2  # of two tokens there are no trigrams


def test_the_order_of_tokens_is_seen_from_two_on():
    """The same tokens backwards: only the unigrams are the same."""
    a = np.tile(np.arange(6, dtype=np.int32), (4, 1))
    found = divergences(a, a[:, ::-1])
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], 1)


def test_copies_are_whole_lines():
    lines = _tokens([1, 2, 3], [3, 2, 1])
    assert copied(_tokens([3, 2, 1], [1, 2, 2], [2, 3, 1], [1, 2, 3]), lines) == 0.5
    assert copied(lines.astype(np.int64), lines) == 1


def test_new_lines_are_copies_as_often_as_lines_are_repeated():
    lines = _tokens([1, 2], [3, 2], [1, 2], [2, 1], [1, 2])
    assert repeated(lines) == 3 / 5
    drawn = np.random.default_rng(0).integers(0, 3, (2, 2000, 6))
    assert repeated(drawn[0]) == pytest.approx(copied(drawn[1], drawn[0]), abs=0.02)
    assert 0.9 < repeated(drawn[0]) < 1
    assert repeated(drawn[0][:, :2]) == 1


def test_the_nearest_line_differs_in_the_fewest_places():
    lines = _tokens([1, 1, 1], [2, 2, 2], [2, 2, 3])
    assert nearest(_tokens([2, 9, 2], [2, 0, 3], [7, 7, 7]), lines).tolist() == [1, 2, 0]


def test_the_unigram_model_has_the_shares_and_no_order():
    lines = np.tile(_tokens([0, 1, 1, 1]), (500, 1))
    drawn = of_shares(lines, 4000)
    assert drawn.shape == (4000, 4)
    assert drawn.dtype == np.int32
    assert drawn.mean() == pytest.approx(0.75, abs=0.015)
    one, two, *_ = divergences(drawn, lines)
    assert one < 1e-3 < 0.05 < two
