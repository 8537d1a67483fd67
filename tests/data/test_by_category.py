"""Training by sampling: rows by a category that is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import Dataset, by_category, tables
from jaxgan.data.tables import Column

N = 100
RARE = np.arange(N) < 4  # the rows of category 1 of the first column
TABLE = np.stack([RARE, np.arange(N) % 3, np.arange(N) / N], 1).astype(float)
COLUMNS = tables.fitted(
    [
        Column("a", "binary", values=("0", "1")),
        Column("b", "discrete", values=("x", "y", "z")),
        Column("c", "continuous", digits=None),
    ],
    TABLE,
    1,
)
RECORD = tables.encode(COLUMNS, TABLE)
ARRAYS = by_category.arrays_of(COLUMNS, TABLE, RECORD)


@pytest.fixture(scope="module")
def drawn():
    on_device = {k: jnp.asarray(v) for k, v in ARRAYS.items()}
    batch = jax.jit(by_category.draw)(on_device, jax.random.key(0), 3, jnp.arange(20_000))["record"]
    return np.asarray(batch[:, :-5]), np.asarray(batch[:, -5:])


def test_each_row_has_the_category_asked_for(drawn):
    record, code = drawn
    assert (code.sum(1) == 1).all()
    own = np.concatenate([record[:, :2], record[:, 2:5]], 1)  # the one-hot codes of both columns
    assert ((own * code).sum(1) == 1).all()
    assert ((own[::-1] * code).sum(1) < 1).any()  # the control: another row's


def test_categories_are_asked_for_by_the_logarithm_of_their_counts(drawn):
    """Each column alike; of 96 and 4 rows log 97 to log 5, where by count it would be 24 to 1."""
    logs = [np.log([97, 5]), np.log([35, 34, 34])]
    expected = np.concatenate([own / own.sum() / 2 for own in logs])
    assert drawn[1].mean(0) == pytest.approx(expected, abs=0.015)
    assert abs(drawn[1].mean(0)[1] - 0.02) > 0.1


def test_rows_of_a_category_are_alike(drawn):
    """By the last number, which is each row's own."""
    record, code = drawn
    row = np.round(tables.decode(COLUMNS, record)[:, 2] * N).astype(int)
    times = np.bincount(row[code[:, 1] == 1], minlength=N)
    assert (times[4:] == 0).all()
    assert times[:4] / times.sum() == pytest.approx(0.25, abs=0.04)
    assert (np.bincount(row[code[:, 2] == 1], minlength=N)[::3] > 0).all()


def test_what_is_scored_of_such_a_set_is_drawn_evenly():
    plain = Dataset("even", {"record": RECORD})
    data = Dataset("by category", ARRAYS, sampler=by_category.draw, evenly=plain)
    rows = data.examples(N)["record"]
    np.testing.assert_array_equal(np.sort(rows[:, -2]), np.sort(RECORD[:, -2]))
    assert (data.size, data.numbers) == (N, RECORD.size)
    drawn_anew = Dataset("by category", ARRAYS, sampler=by_category.draw)
    assert drawn_anew.size == np.inf
    assert drawn_anew.examples(N)["record"][:, 1].mean() > 0.1  # the control: rare rows are not rare
    assert rows[:, 1].mean() == pytest.approx(0.04)
