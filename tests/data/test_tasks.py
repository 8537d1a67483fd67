import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import tasks

KEY = jax.random.key(0)
SQUARE = np.zeros((12, 12, 3), np.float32)
SQUARE[3:9, 3:9] = [1.0, 0.5, 0.0]


def test_grey_is_lightness():
    found = tasks.grey(SQUARE)
    assert found.shape == (12, 12, 1)
    np.testing.assert_allclose(found[5, 5, 0], 0.299 + 0.587 / 2, atol=1e-6)
    np.testing.assert_array_equal(tasks.grey(SQUARE[..., :1]), SQUARE[..., :1])


def test_edges_are_where_the_lightness_is_steep():
    found = np.asarray(tasks.edges(SQUARE))[..., 0]
    expected = np.zeros((12, 12))
    expected[2:10, 3:9] = expected[3:9, 2:10] = 1
    expected[4:8, 4:8] = 0
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(tasks.edges(np.full((5, 5, 1), 0.7, np.float32)), 0)
    assert not tasks.edges(0.2 * SQUARE).any()  # a slope of 0.12, at corners 0.17


def test_low_is_the_mean_of_squares():
    x = jax.random.uniform(KEY, (8, 12, 3))
    found = tasks.low(x, factor=4)
    assert found.shape == (2, 3, 3)
    np.testing.assert_allclose(found[1, 2], x[4:8, 8:12].mean((0, 1)), atol=1e-6)
    with pytest.raises(InputError, match="images of 12x8 are not cut into squares of 5"):
        tasks.low(x, factor=5)


@pytest.mark.parametrize("anywhere", [False, True])
def test_a_hole_and_its_mask(anywhere):
    x = jax.random.uniform(KEY, (10, 14, 3))
    found = np.asarray(tasks.hole(x, KEY, side=4, anywhere=anywhere))
    assert found.shape == (10, 14, 4)
    mask = found[..., 3]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.sum() == 16
    assert len(rows) == len(columns) == 4
    np.testing.assert_array_equal(found[..., :3][mask == 0], np.asarray(x)[mask == 0])
    np.testing.assert_array_equal(found[..., :3][mask == 1], 0.5)
    if not anywhere:
        assert (rows[0], columns[0]) == (3, 5)


def test_a_hole_anywhere_is_everywhere_in_turn():
    x = jnp.zeros((6, 6, 1))
    masks = jax.vmap(lambda i: tasks.hole(x, jax.random.fold_in(KEY, i), side=4, anywhere=True)[..., -1])
    corners = {tuple(np.argwhere(mask)[0]) for mask in np.asarray(masks(jnp.arange(200)))}
    assert corners == {(i, j) for i in range(3) for j in range(3)}


def test_what_is_given_is_a_function_of_the_example_alone():
    images = np.random.default_rng(0).integers(0, 256, (2500, 8, 8, 1), np.uint8)
    task = tasks.named("hole:3,anywhere")
    whole = tasks.given(task, images)
    assert whole.shape == (2500, 8, 8, 2)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(tasks.given(task, images[:10]), whole[:10])
    outside = whole[..., 1] == 0
    np.testing.assert_array_equal(whole[..., 0][outside], images[..., 0][outside])
    assert len({tuple(np.argwhere(x[..., 1])[0]) for x in whole[:100]}) > 10


def test_names():
    assert tasks.named("edges") is tasks.edges
    assert tasks.named("low").keywords == {"factor": 4}
    assert tasks.named("low:2").keywords == {"factor": 2}
    assert tasks.named("hole:5,anywhere").keywords == {"side": 5, "anywhere": True}
    for spec in ("edge", "low:1", "low:x", "low:2,3", "hole:0", "hole:4,left", "edges:2", ""):
        with pytest.raises(InputError, match="is not one of edges, grey, low:FACTOR, hole:SIDE"):
            tasks.named(spec)
    with pytest.raises(InputError, match="the hole lies outside images of 8x8"):
        tasks.given(tasks.named("hole:9"), np.zeros((2, 8, 8, 1), np.uint8))
