import numpy as np
import pytest


@pytest.fixture
def normal():
    """Makes normal numbers of a shape; numpy's, which need no compiling."""
    rng = np.random.default_rng(7)
    return lambda shape: rng.standard_normal(shape, np.float32)
