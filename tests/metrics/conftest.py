import numpy as np
import pytest


@pytest.fixture(scope="session")
def features():
    """The features that other programs were run on: real f64[500, 64] and fake f64[400, 64]."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(64, 64)) / 8
    return rng.normal(size=(500, 64)) @ mix, 1.1 * rng.normal(size=(400, 64)) @ mix + 0.1
