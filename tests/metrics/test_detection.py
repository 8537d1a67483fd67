"""AUC with ties, its interval, and the plain scores beside it."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from jaxgan.metrics.detection import auc, auc_interval, flat, from_components, from_mean


def test_auc_by_hand_and_beside_scikit_learns():
    assert auc([1, 2], [3, 4]) == 1
    assert auc([3, 4], [1, 2]) == 0
    assert auc([1, 2], [2, 3]) == (1 + 0.5 + 1 + 1) / 4
    rng = np.random.default_rng(0)
    normal, anomalous = rng.integers(0, 9, 70), rng.integers(2, 11, 40)  # with many ties
    truth = np.repeat([0, 1], [70, 40])
    expected = roc_auc_score(truth, np.concatenate([normal, anomalous]))
    assert auc(normal, anomalous) == pytest.approx(expected, abs=1e-12)
    for wrong in ([], [1.0, np.nan]):
        with pytest.raises(ValueError, match="an AUC takes scores of both kinds"):
            auc([1.0], wrong)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Of two normal laws a deviation apart the AUC is Phi(1 / sqrt 2) = 0.7602."""
    rng = np.random.default_rng(1)
    held = []
    for seed in range(100):
        low, high = auc_interval(rng.normal(0, 1, 60), rng.normal(1, 1, 60), resamples=200, seed=seed)
        assert 0 < high - low < 0.3
        held.append(low <= 0.7602 <= high)
    assert np.mean(held) > 0.85
    assert auc_interval([1, 2], [3, 4]) == (1, 1)


@pytest.mark.parametrize("n", [60, 12], ids=["more rows than columns", "fewer"])
def test_what_components_leave_is_as_scikit_learns_pca(n):
    rng = np.random.default_rng(2)
    train = rng.normal(size=(n, 20)) * np.linspace(1, 3, 20) + 5
    x = rng.normal(size=(7, 20)) + 5
    found = from_components(train, x, (1, 3, 8, 64))
    assert list(found) == [1, 3, 8]
    for k, score in found.items():
        pca = PCA(k, svd_solver="full").fit(train)
        left = x - pca.inverse_transform(pca.transform(x))
        np.testing.assert_allclose(score, np.linalg.norm(left, axis=1), rtol=1e-6)
    mean = from_mean(train, x)
    np.testing.assert_allclose(mean, np.linalg.norm(x - train.mean(0), axis=1), rtol=1e-12)
    assert (found[8] < found[3]).all()
    assert (found[3] < found[1]).all()
    assert (found[1] < mean).all()


def test_images_are_rows_of_levels():
    images = np.full((2, 3, 3, 1), 51, np.uint8)
    np.testing.assert_allclose(flat(images), np.full((2, 9), 0.2), rtol=1e-6)
