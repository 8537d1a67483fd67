"""What goes wrong without a sound: fabricated figures of each trouble, and of none."""

import math

import numpy as np
import pytest

from jaxgan import troubles
from jaxgan.troubles import Trouble

CHANCE = 2 * math.log(2)


def _rows(loss, real, fake, n=200, every=10, noise=0.0, scores=()):
    rng = np.random.default_rng(0)
    rows = [
        {
            "step": every * (i + 1),
            "d/loss": float(loss + noise * rng.standard_normal()),
            "d/accuracy_real": real,
            "d/accuracy_fake": fake,
        }
        for i in range(n)
    ]
    return [*rows, *({"step": n * every, "score/fcd": value} for value in scores)]


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (_rows(0.02, 0.999, 1.0), "D perfect"),
        (_rows(0.33, 1.0, 1.0), "D perfect"),  # smooth labels: its loss does not come to 0
        (_rows(CHANCE, 0.5, 0.5, noise=0.01), "D at chance"),
        (_rows(CHANCE, 1.0, 0.0, noise=0.01), "D at chance"),  # it says one thing always
        (_rows(CHANCE, 0.5, 0.5, noise=0.05), "D at chance"),  # small batches
        (_rows(CHANCE / 2, 1.0, 0.0), "D at chance"),  # a relativistic D's
        (_rows(CHANCE / 2, 0.9, 0.9, noise=0.05), None),
        (_rows(CHANCE, 0.8, 0.8, noise=0.05), None),
        (_rows(CHANCE, 0.9, 0.9), "D at chance"),  # its logits are all but 0, as where it does not learn
        (_rows(CHANCE, 0.5, 0.5, scores=(80.0, 38.0)), "D at chance"),  # the scores have hardly moved
        (_rows(0.9, 0.85, 0.8), None),  # a game under way
        (_rows(1.2, 0.65, 0.6), None),
        (_rows(0.1, 0.97, 0.98), None),
        (_rows(-4.0, 1.0, 1.0), None),  # a critic measures a distance
        (_rows(2.0, 0.5, 0.5), None),  # hinge's chance, which is no logistic loss
        (_rows(CHANCE, 0.5, 0.5, scores=(3.0, 0.01)), None),  # the samples have come to the data
        (_rows(0.0, 1.0, 1.0, n=39), None),  # nine rows late
        (_rows(0.0, 1.0, 1.0, n=100, every=1), None),  # 25 steps
        ([], None),
        ([{"step": 1, "score/fcd": 3.0}], None),
        ([{"step": i, "d/loss": 0.0} for i in range(1000)], None),  # a method that tells no accuracy
    ],
)
def test_what_the_figures_of_d_show(rows, name):
    found = troubles.of_steps(rows)
    assert [trouble.name for trouble in found] == ([] if name is None else [name])
    assert all("\n" not in trouble.told and "try" in trouble.told for trouble in found)


def test_only_the_last_quarter_counts():
    bad, good = _rows(0.0, 1.0, 1.0), _rows(0.9, 0.85, 0.8)
    early = [*bad[:140], *good[140:]]
    late = [*good[:140], *bad[140:]]
    assert troubles.of_steps(early) == []
    assert [trouble.name for trouble in troubles.of_steps(late)] == ["D perfect"]


def test_samples_that_are_known_to_be_good_need_no_d():
    rows = _rows(CHANCE, 0.5, 0.5)
    assert troubles.of_steps(rows, settled=True) == []
    assert len(troubles.of_steps(rows, settled=False)) == 1


@pytest.mark.parametrize(
    ("value", "deviation", "name"),
    [
        (0.4, 0.01, "too alike"),
        (0.0, 0.01, "too alike"),
        (1.6, 0.01, "too varied"),
        (0.9, 0.01, None),
        (1.1, 0.01, None),
        (0.6, 0.2, None),  # of few images the data's own varies as much
    ],
)
def test_diversity_far_from_that_of_real_images(value, deviation, name):
    real = 1 + deviation * np.array([-1.0, 1.0] * 5)
    assert [trouble.name for trouble in troubles.of_diversity(value, real)] == ([name] if name else [])


@pytest.mark.parametrize(
    ("fake", "n", "name"),
    [
        ([0.0, 0.5, 0.5], 1000, "1 of 3 classes missing"),
        ([0.02, 0.02, 0.96], 1000, "2 of 3 classes missing"),
        ([0.1, 0.5, 0.4], 1000, None),  # rare, and made
        ([0.0, 0.5, 0.5], 30, None),  # ten were due: too few to tell
    ],
)
def test_classes_that_are_not_made(fake, n, name):
    found = troubles.of_shares("abc", fake, [1 / 3] * 3, n)
    assert [trouble.name for trouble in found] == ([name] if name else [])
    if name and "1 of" in name:
        assert "a (0.0% of the samples, 33.3% of the data)" in found[0].told


def test_a_draw_of_the_data_misses_no_class():
    """Of many draws of 10 classes, the rarest due 20 times."""
    real = np.array([*[0.11] * 8, 0.1, 0.02])
    for seed in range(300):
        counts = np.random.default_rng(seed).multinomial(1000, real)
        assert troubles.of_shares("0123456789", counts / 1000, real, 1000) == []


def test_many_are_counted_and_three_named():
    (found,) = troubles.of_shares([f"mode {i}" for i in range(9)], [1, *[0] * 8], [1 / 9] * 9, 900, "mode")
    assert found.name == "8 of 9 modes missing"
    assert "and 5 more" in found.told


def test_samples_beside_all_modes_are_told():
    (found,) = troubles.of_quality(0.04)
    assert found.name == "samples beside the modes"
    assert "4.0% of the samples" in found.told
    assert troubles.of_quality(0.1) == []


@pytest.mark.parametrize(("value", "n"), [(0.0, 1), (0.3, 1), (0.6, 0), (1.3, 0)])
def test_copies_are_told(value, n):
    assert len(troubles.of_memorisation(value)) == n


@pytest.mark.parametrize("records", [None, 3, [3], [{}], [{"name": "x"}], {"name": "x", "told": "y"}])
def test_records_of_something_else_are_none(records):
    assert troubles.from_records(records) == []
    found = [Trouble("a", "b")]
    assert troubles.from_records(troubles.to_records(found)) == found
