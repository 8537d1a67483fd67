import pytest

from jaxgan.metrics import judge


@pytest.fixture(scope="module", autouse=True)
def _briefly_taught():
    """Classifiers learn for a few steps: what runs leave and say is looked at here, not how good it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "FEWEST", 8)
        patch.setattr(judge, "MOST", 8)
        yield
