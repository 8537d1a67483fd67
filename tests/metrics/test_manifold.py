import numpy as np
import pytest

from jaxgan.metrics.manifold import density_coverage, precision_recall


@pytest.mark.parametrize(
    ("k", "precision", "recall", "density", "coverage"),
    [(3, 0.4325, 0.9, 0.31166666666666665, 0.506), (5, 0.57, 0.95, 0.3305, 0.702)],
)
def test_equals_the_published_program(features, k, precision, recall, density, coverage):
    """prdc 0.2; torch-fidelity 0.4.0 gives the same precision and recall for k = 3."""
    real, fake = features
    assert precision_recall(real, fake, k=k) == (precision, recall)
    assert density_coverage(real, fake, k=k) == pytest.approx((density, coverage), rel=1e-15)
    assert precision_recall(real, fake, k=k + 1) != (precision, recall)


def test_the_defaults_are_the_papers(features):
    real, fake = features
    assert precision_recall(real, fake) == precision_recall(real, fake, k=3)
    assert density_coverage(real, fake) == density_coverage(real, fake, k=5)


def test_on_a_line_by_hand():
    """With k = 1 the balls of 0, 1, 3 and 7 have the radii 1, 1, 2 and 4, open."""
    real, fake = np.array([[0.0], [1], [3], [7]]), np.array([[0.5], [1.5], [30], [31]])
    assert precision_recall(real, fake, k=1) == (0.5, 0.5)
    assert density_coverage(real, fake, k=1) == (4 / 4, 3 / 4)  # 0.5 is in two balls, and 1.5


def test_equal_sets_and_sets_apart():
    """Each ball of a set around itself holds its centre and k - 1 others: ties count as outside."""
    x = np.random.default_rng(0).normal(size=(300, 64)) + 100
    for block in (512, 7):
        assert precision_recall(x, x[::-1], block=block) == (1, 1)
        assert density_coverage(x, x[::-1], block=block) == (1, 1)
    assert precision_recall(x, x + 1000) == (0, 0)
    assert density_coverage(x, x + 1000) == (0, 0)


def test_blocks_order_and_precision_of_the_input_change_nothing(features):
    real, fake = (np.round(x * 4).astype(np.float32) for x in (x[:, :8] for x in features))  # with many ties
    found = precision_recall(real, fake), density_coverage(real, fake)
    for block in (1, 13, 400):
        assert (precision_recall(real, fake, block=block), density_coverage(real, fake, block=block)) == found
    order = np.random.default_rng(0).permutation(400)
    assert (precision_recall(real[::-1], fake[order]), density_coverage(real[::-1], fake[order])) == found
    far = np.float64(2**20)
    assert (precision_recall(real + far, fake + far), density_coverage(real + far, fake + far)) == found


def test_their_means_for_one_distribution():
    """Naeem et al. 2020: 1, and 1 - (N-1)...(N-k) / ((2N-1)...(2N-k)), whatever the distribution."""
    rng, n, k, times = np.random.default_rng(0), 100, 5, 60
    found = [density_coverage(*rng.exponential(size=(2, n, 3))) for _ in range(times)]
    coverage = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert coverage == pytest.approx(0.9709, abs=1e-3)
    error = np.std(found, axis=0) / np.sqrt(times)
    np.testing.assert_array_less(np.abs(np.mean(found, axis=0) - [1, coverage]), 3 * error)


def test_one_outlier_fools_precision_and_not_density():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(200, 2)), [[30.0, 0.0]]])
    fake = rng.normal(size=(200, 2)) + [15, 0]
    assert precision_recall(real, fake)[0] > 0.9
    assert density_coverage(real, fake)[0] < 0.3
    assert density_coverage(real, fake)[1] < 0.01


def test_bad_input(features):
    real, fake = features
    with pytest.raises(ValueError, match="fake features must have at least 4 rows, not 3"):
        precision_recall(real, fake[:3])
    with pytest.raises(ValueError, match="real features must have at least 6 rows, not 5"):
        density_coverage(real[:5], fake)
    with pytest.raises(ValueError, match="not finite"):
        density_coverage(real, fake * np.nan)
    with pytest.raises(ValueError, match=r"must be \[N, D\]"):
        density_coverage(real, fake[0])
