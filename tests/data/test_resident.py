from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import resident
from jaxgan.random import fold, permute


def _rows(key, n, batch_size, draws):
    slot = jnp.arange(batch_size)
    draw = lambda d: resident.rows(key, d, slot, n=n, batch_size=batch_size)  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(draws))).ravel()


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (7, 7), (12, 5), (5, 4)])
def test_an_epoch_is_a_permutation(key, n, batch_size):
    rows = _rows(key, n, batch_size, 3 * n)  # three batch-sizes of epochs, batches across their ends
    epochs = rows.reshape(-1, n)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    assert len({tuple(e) for e in epochs}) > 1


def test_which_examples_are_a_function_of_the_key_and_the_draw(key):
    slot = jnp.arange(6)
    rows = jax.jit(lambda key, slot: resident.rows(key, 5, slot, n=100, batch_size=6))
    np.testing.assert_array_equal(rows(key, slot[4:]), rows(key, slot)[4:])
    assert not np.array_equal(rows(key, slot), rows(jax.random.key(1), slot))


def test_far_draws_do_not_overflow(key):
    """Against positions computed in Python's integers, beyond 2^31."""
    draw, n, size = 2**31 - 1, 60_000, 512
    rows = resident.rows(key, draw, jnp.arange(size), n=n, batch_size=size)
    epochs, offsets = np.divmod(draw * size + np.arange(size), n)
    keys = jax.vmap(lambda e: fold(key, "epoch", e))(jnp.asarray(epochs, jnp.uint32))
    np.testing.assert_array_equal(rows, permute(keys, jnp.asarray(offsets), n))
    with pytest.raises(ValueError, match="exceed 2"):
        resident.rows(key, 0, jnp.arange(4), n=2**20, batch_size=2**12)


def test_batches_are_scaled_and_belong_together(key):
    data = {
        "image": jnp.asarray(np.arange(20, dtype=np.uint8)[:, None, None, None] * 12),
        "label": jnp.arange(20, dtype=jnp.int32),
    }
    state = SimpleNamespace(key=key, step=jnp.int32(3))
    draw = lambda key, i: resident.draw(data, key, i, jnp.arange(4), batch_size=4)  # noqa: E731
    batch = jax.jit(lambda: resident.batches(draw, state, n_critic=2))()
    assert batch["image"].shape == (2, 4, 1, 1, 1)
    assert batch["image"].dtype == jnp.float32
    expected = batch["label"] * 12 / 127.5 - 1
    np.testing.assert_allclose(batch["image"][..., 0, 0, 0], expected, atol=1e-6)
    np.testing.assert_array_equal(batch["slot"], [[0, 1, 2, 3]] * 2)
    assert len(np.unique(batch["label"])) == 8  # two draws of one epoch do not overlap
