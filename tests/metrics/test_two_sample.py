import numpy as np
import pytest

from jaxgan.metrics.two_sample import nearest_neighbour_accuracy


def test_on_a_line_by_hand():
    real, fake = np.array([[0.9], [1.0], [5]]), np.array([[7.0], [1.4], [8.0]])
    # 0.9 -> 1.0 right; 1.0 -> 0.9 right; 5 -> 7 wrong; 7 -> 8 right; 1.4 -> 1.0 wrong; 8 -> 7 right
    assert nearest_neighbour_accuracy(real, fake) == (4 / 6, 2 / 3, 2 / 3)
    assert nearest_neighbour_accuracy(real, [[7.0], [3.0], [8.0]]).real == 2 / 3
    assert nearest_neighbour_accuracy([[0.0], [4]], [[2.0], [4]]) == (
        1 / 8,
        0,
        1 / 4,
    )  # 2 is between 0 and both 4
    assert nearest_neighbour_accuracy([[0.0], [2]], [[4.0], [9]]).real == (1 + 0.5) / 2


def test_one_distribution_gives_a_half():
    rng, n = np.random.default_rng(0), 200
    found = [nearest_neighbour_accuracy(*rng.normal(size=(2, n, 5))).overall for _ in range(10)]
    assert np.mean(found) == pytest.approx(0.5, abs=3 * 0.4 / np.sqrt(10 * n))
    assert np.std(found) == pytest.approx(0.4 / np.sqrt(n), rel=0.5)


def test_copies_collapse_and_distance():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 64)) + 100
    assert nearest_neighbour_accuracy(real, real[::-1]) == (0, 0, 0)  # itself is no neighbour
    assert nearest_neighbour_accuracy(real, real + 50) == (1, 1, 1)
    collapsed = nearest_neighbour_accuracy(real, 100 + 1e-3 * rng.normal(size=(200, 64)))
    assert collapsed.fake == 1
    assert collapsed.real < 0.3


def test_blocks_and_order_change_nothing():
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 6, (2, 150, 4))  # with many ties
    found = nearest_neighbour_accuracy(real, fake)
    assert nearest_neighbour_accuracy(real, fake, block=11) == found
    assert nearest_neighbour_accuracy(rng.permutation(real), fake[::-1]) == found
    with pytest.raises(ValueError, match="at least 2 rows"):
        nearest_neighbour_accuracy(real[:1], fake)
