"""Made-up patients: their means and correlations are those of the law that they are drawn by."""

import itertools

import numpy as np
import pytest

from jaxgan.data import patients
from jaxgan.data.patients import Patients


def test_means_and_correlations_by_enumeration():
    """Two groups, three codes: all eight rows."""
    model = Patients(np.array([0.25, 0.75]), np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3]]))
    rows = np.array(list(itertools.product((0, 1), repeat=3)))
    chance = sum(
        share * np.prod(np.where(rows, rate, 1 - rate), 1)
        for share, rate in zip(model.share, model.rate, strict=True)
    )
    mean = chance @ rows
    apart = rows - mean
    covariance = (apart.T * chance) @ apart
    np.testing.assert_allclose(patients.mean(model), mean)
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(patients.correlation(model), covariance / np.outer(deviation, deviation))


@pytest.mark.parametrize("counts", [False, True])
def test_draws_are_by_the_law(counts):
    model = patients.made_up(12, 3, counts=counts)
    x, group = patients.draw(model, 20_000)
    # The control: without groups the means are the same, and no correlation is left.
    own = np.random.default_rng(0).permuted(x, axis=0)
    law = patients.correlation(model)
    pairs = np.triu_indices(12, 1)
    spread = np.sqrt(x.var(0) / len(x))
    assert (np.abs(x.mean(0) - patients.mean(model)) < 5 * spread).all()
    assert np.abs(np.corrcoef(x.T) - law)[pairs].max() < 0.04
    assert np.abs(np.corrcoef(own.T) - law)[pairs].max() > 0.3
    share = np.bincount(group, minlength=3) / len(x)
    assert share == pytest.approx(model.share, abs=0.02)
    for g in range(3):
        assert x[group == g].mean(0) == pytest.approx(model.rate[g], abs=0.12 if counts else 0.04)
    assert (x == np.round(x)).all()
    assert (x.max() == 1) != counts


def test_a_patient_is_its_slots():
    model = patients.made_up(6, 2)
    few, _ = patients.draw(model, 5)
    many, _ = patients.draw(model, 50)
    np.testing.assert_array_equal(few, many[:5])
    other, _ = patients.draw(model, 50, seed=1)
    assert not np.array_equal(many, other)
    assert not np.allclose(model.rate, patients.made_up(6, 2, seed=1).rate)
