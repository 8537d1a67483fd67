from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import pool

KEY = jax.random.key(3)


def _images(first, n):
    """Images of one level each, of which none is there twice."""
    level = (first + jnp.arange(n)) % 256
    return jnp.broadcast_to((level / 127.5 - 1).astype(jnp.float32)[:, None, None, None], (n, 2, 2, 1))


def _levels(x):
    return np.asarray(jnp.round((x[:, 0, 0, 0] + 1) * 127.5)).astype(int)


@pytest.fixture(scope="module")
def shown():
    """What was shown of 250 images one after another, in batches of five: ([50, 5], the pool at the end)."""
    now, found = pool.empty((2, 2, 1)), []
    exchange = jax.jit(pool.exchanged)
    for i in range(50):
        now, out = exchange(now, jax.random.fold_in(KEY, i), jnp.arange(5), _images(5 * i, 5))
        found.append(_levels(out))
    return np.stack(found), now


def test_it_fills_with_fifty_and_shows_them(shown):
    found, _ = shown
    np.testing.assert_array_equal(found[:10].ravel(), np.arange(50))
    now = pool.empty((2, 2, 1))
    for i in range(12):
        now, _ = pool.exchanged(now, KEY, jnp.arange(5), _images(5 * i, 5))
        assert int(now.n) == min(5 * (i + 1), 50)


def test_then_one_in_two_is_an_old_one(shown):
    found, now = shown
    new = np.arange(50, 250)
    later = found[10:].ravel()
    old = later != new
    assert old.mean() == pytest.approx(0.5, abs=0.11)  # three deviations of 200 draws
    assert (later[old] < new[old]).all()
    # Each image is shown as an old one once at most, and is then no more in the pool.
    again = later[old]
    assert len(set(again)) == len(again)
    there = np.asarray(now.image[:, 0, 0, 0]).astype(int)
    assert not set(there) & set(again)
    stored = set(range(50)) | set(new[old])
    assert set(there) == stored - set(again)
    assert len(there) == 50


def test_what_is_shown_new_is_exact_and_what_is_old_is_rounded():
    x = jnp.full((1, 2, 2, 1), 0.1234)
    now, out = pool.exchanged(pool.empty((2, 2, 1), 1), KEY, jnp.arange(1), x)
    np.testing.assert_array_equal(out, x)
    for i in range(20):
        _, out = pool.exchanged(now, jax.random.fold_in(KEY, i), jnp.arange(1), -x)
        assert float(jnp.abs(out - (-x)).max()) == 0 or float(jnp.abs(out - x).max()) <= 0.5 / 127.5


@pytest.mark.parametrize("devices", [2, 8])
def test_it_is_the_same_on_any_number_of_devices(devices):
    images = jnp.concatenate([_images(16 * i, 16) for i in range(6)]).reshape(6, 16, 2, 2, 1)
    one = several = pool.empty((2, 2, 1), 30)
    each = jax.pmap(
        partial(pool.exchanged, axis="devices"),
        axis_name="devices",
        in_axes=(None, None, 0, 0),
        devices=jax.devices()[:devices],
    )
    for i in range(6):
        key = jax.random.fold_in(KEY, i)
        one, expected = pool.exchanged(one, key, jnp.arange(16), images[i])
        slot = jnp.arange(16).reshape(devices, -1)
        copies, found = each(several, key, slot, images[i].reshape(devices, -1, 2, 2, 1))
        several = jax.tree.map(lambda x: x[0], copies)
        jax.tree.map(lambda x: [np.testing.assert_array_equal(y, x[0]) for y in x], copies)
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)
        jax.tree.map(np.testing.assert_array_equal, several, one)


def test_lanes_have_pools_of_their_own():
    images = jnp.stack([_images(0, 8), _images(100, 8)])
    pools = jax.tree.map(lambda x: jnp.stack([x, x]), pool.empty((2, 2, 1), 5))
    keys = jax.random.split(KEY, 2)
    after, found = jax.vmap(pool.exchanged, (0, 0, None, 0))(pools, keys, jnp.arange(8), images)
    for i in range(2):
        own, expected = pool.exchanged(pool.empty((2, 2, 1), 5), keys[i], jnp.arange(8), images[i])
        np.testing.assert_array_equal(found[i], expected)
        jax.tree.map(lambda x, y, i=i: np.testing.assert_array_equal(x[i], y), after, own)
