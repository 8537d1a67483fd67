import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import resident
from jaxgan.nn.label_map import boundaries, codes, resized


@pytest.mark.parametrize("labels", [2, 5, 256])
def test_levels_of_a_batch_are_labels_again(labels):
    number = (np.arange(256) % labels).astype(np.uint8).reshape(1, 16, 16, 1)
    of = codes(resident.scaled(jnp.asarray(number)), labels)
    assert of.shape == (1, 16, 16, labels)
    np.testing.assert_array_equal(of.argmax(-1), number[..., 0])
    np.testing.assert_array_equal(of.sum(-1), 1)


def test_boundaries_by_hand():
    number = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]])
    expected = np.array([[0, 1, 1], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(boundaries(number), expected)
    np.testing.assert_array_equal(boundaries(np.stack([number, number]))[1], expected)
    np.testing.assert_array_equal(boundaries(np.zeros((4, 4), int)), 0)


def test_where_instances_meet_is_one_code_more():
    instance = np.array([[7, 7, 7], [7, 7, 255]], np.uint8)
    given = np.stack([np.ones((2, 3), np.uint8), instance], -1)[None]
    of = codes(resident.scaled(jnp.asarray(given)), 3)
    assert of.shape == (1, 2, 3, 4)
    np.testing.assert_array_equal(of[0, ..., 3], [[0, 0, 1], [0, 1, 1]])
    np.testing.assert_array_equal(of[0, ..., 1], 1)
    with pytest.raises(ValueError, match="not 3 channels"):
        codes(jnp.zeros((1, 2, 2, 3)), 3)


def test_the_first_of_each_square_is_taken():
    x = jax.random.normal(jax.random.key(0), (2, 8, 4, 3))
    found = resized(x, (4, 1))
    for i in range(4):
        np.testing.assert_array_equal(found[:, i, 0], x[:, 2 * i, 0])
    with pytest.raises(ValueError, match="no multiple of 3x4"):
        resized(x, (4, 3))
