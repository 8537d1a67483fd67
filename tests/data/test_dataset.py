"""Named arrays: what is a data set, what is none, and the batches that are drawn of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import InputError
from jaxgan.data import Dataset, load, resident


def _batch(data, draw=3, batch_size=4, key=None):
    arrays = jax.tree.map(jnp.asarray, dict(data.arrays))
    key = jax.random.key(7) if key is None else key
    return data.batch(arrays, key, draw, jnp.arange(batch_size), batch_size=batch_size)


def test_arrays_of_any_shape_and_type_are_drawn_together():
    n = 10
    data = Dataset(
        "d", {"tokens": np.arange(n * 3).reshape(n, 3), "weight": np.arange(n) / 2, "on": np.arange(n) > 4}
    )
    batch = _batch(data)
    assert {name: x.dtype for name, x in batch.items()} == {
        "tokens": jnp.int32, "weight": jnp.float32, "on": jnp.bool_, "slot": jnp.int32}  # fmt: skip
    np.testing.assert_array_equal(batch["tokens"][:, 0] // 3, batch["weight"] * 2)
    np.testing.assert_array_equal(batch["on"], batch["weight"] > 2)
    assert data.size == n


def test_what_was_an_array_of_bytes_is_scaled_but_for_labels():
    data = Dataset(
        "d", {"image": np.full((4, 2, 2, 1), 255, np.uint8), "label": np.arange(4, dtype=np.uint8)}
    )
    batch = _batch(data)
    assert float(batch["image"].min()) == 1
    assert batch["label"].dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(batch["label"]), np.arange(4))


def test_groups_have_lengths_and_orders_of_their_own():
    domains = {"a": {"image": np.arange(30.0)}, "b": {"image": np.arange(20.0), "other": np.arange(20.0)}}
    data = Dataset("d", {**domains, "weight": np.arange(30.0)})
    assert data.size == 20
    batch = _batch(data, draw=0, batch_size=20)
    np.testing.assert_array_equal(np.sort(batch["b"]["image"]), np.arange(20))  # one epoch of the short one
    np.testing.assert_array_equal(batch["b"]["image"], batch["b"]["other"])
    assert len(np.unique(batch["a"]["image"])) == 20
    assert not np.array_equal(batch["a"]["image"], batch["weight"])  # of one length, but not in one order
    alone = _batch(Dataset("d", {"weight": np.arange(30.0)}), draw=0, batch_size=20)
    np.testing.assert_array_equal(alone["weight"], batch["weight"])  # a group changes nothing beside it


def test_an_endless_set_draws_each_batch_anew():
    def sampler(arrays, key, draw, slot):
        return {"x": arrays["mean"] + jax.random.normal(jax.random.fold_in(key, draw), slot.shape)}

    data = Dataset("d", {"mean": np.array([5.0])}, sampler=sampler)
    one, other = _batch(data, 0)["x"], _batch(data, 1)["x"]
    assert data.size == math.inf
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(one, _batch(data, 0)["x"])


def test_an_example_has_a_batchs_shapes():
    data = Dataset("d", {"a": {"image": np.zeros((9, 2, 2, 1), np.uint8)}, "label": np.arange(8)})
    batch = _batch(data)
    example = data.example(4)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), example) == jax.tree.map(
        lambda x: (x.shape, x.dtype), batch
    )


def test_the_digest_is_of_names_types_and_contents():
    """That of the digits is what it was before data sets were named arrays: caches go by it."""
    assert load("digits", image_size=8).digest == "0dc0d3a1c9ac52a4"
    sets = [{"a": np.arange(4)}, {"b": np.arange(4)}, {"a": np.arange(4.0)}, {"a": {"a": np.arange(4)}},
            {"a": np.arange(4).reshape(2, 2)}, {"a": np.array([0, 1, 2, 4])}]  # fmt: skip
    assert len({Dataset("d", arrays).digest for arrays in sets}) == len(sets)
    assert Dataset("d", sets[0]).digest == Dataset("e", sets[0]).digest


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({}, "d has no arrays"),
        ({"x": np.array(["a", "b"])}, "'x' is of <U1; a device holds numbers alone"),
        ({"x": np.array([None, 1])}, "'x' is of object"),
        ({"x": [[1, 2], [3, 4 + 1j]]}, "'x' is of complex128"),
        ({"x": np.zeros((0, 3))}, r"'x' is float64\[0, 3\]: it has no examples"),
        ({"x": np.zeros((5, 0))}, r"'x' is float64\[5, 0\]: it has no examples"),
        ({"x": 3.0}, r"'x' is float64\[\]: it has no examples"),
        ({"x": np.array([1.0, np.nan, np.inf])}, "'x' is not finite in 2 of 3 examples; mend or remove them"),
        ({"x": np.array([1, 2**31])}, "'x' has integers of 2.31 and more"),
        ({"x": np.array([1, -(2**40)])}, "'x' has integers of 2.31 and more"),
        ({"x": np.array([2**63], np.uint64)}, "'x' has integers of 2.31 and more"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, "d has arrays of several lengths: x 3, y 4"),
        ({"g": {"x": np.zeros(3), "y": np.zeros(4)}}, "d/g has arrays of several lengths: x 3, y 4"),
        ({"g": {"x": np.array([np.nan])}}, "'g/x' is not finite in 1 of 1"),
        ({"g": {}}, "'g' has no arrays"),
        ({"g": {"h": {"x": np.zeros(3)}}}, "'g/h' is a group within a group"),
        ({"x": np.array([1e300, 1.0])}, "'x' is not finite in 1 of 2"),
        ({"x": np.array([-(2**63), 1])}, "'x' has integers of 2.31 and more"),
        ({"x": np.array([2**32 - 1], np.uint32)}, "'x' has integers of 2.31 and more"),
        ({"slot": np.zeros(3)}, "'slot' is each example's place in a batch"),
    ],
)
def test_what_is_no_data_set_is_told_in_a_line(arrays, told):
    with pytest.raises(InputError, match=told) as e:
        Dataset("d", arrays)
    assert "\n" not in str(e.value)


def test_labels_of_one_byte_are_no_levels():
    assert resident.scaled(jnp.zeros(3, jnp.uint8)).dtype == jnp.int32
    assert resident.scaled(jnp.zeros((3, 1), jnp.uint8)).dtype == jnp.float32
