import numpy as np
import pytest

from jaxgan.metrics.tabular import dimension_wise_probability


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
