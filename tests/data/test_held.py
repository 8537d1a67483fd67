from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import parallel
from jaxgan.data import held, resident

BATCH = 8
RNG = np.random.default_rng(0)
SETS = {
    "images with labels": {
        "image": RNG.integers(0, 256, (37, 4, 4, 3), np.uint8),
        "label": RNG.integers(0, 5, 37).astype(np.int32),
    },
    "points and flags": {
        "point": RNG.normal(size=(21, 2)).astype(np.float32),
        "flag": RNG.integers(0, 2, 21).astype(bool),
    },
    "groups that nothing pairs": {
        "a": {"image": RNG.integers(0, 256, (19, 2, 2, 1), np.uint8)},
        "b": {"image": RNG.integers(0, 256, (30, 2, 2, 1), np.uint8), "label": np.arange(30, dtype=np.int32)},
        "index": np.arange(11, dtype=np.int32),
    },
}
DRAWS = [0, 3, 4, 5, 1000]  # at and across the ends of epochs


@pytest.fixture(params=SETS)
def arrays(request):
    return SETS[request.param]


def _resident(arrays, key, i, slot):
    whole = jax.tree.map(jnp.asarray, arrays)
    return jax.jit(partial(resident.draw, batch_size=BATCH))(whole, key, i, slot)


def _alike(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype, path
        np.testing.assert_array_equal(x, y, str(path))


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_window_has_the_resident_batches_bit_for_bit(arrays, key, devices):
    share = np.arange(BATCH, dtype=np.int32).reshape(devices, -1)
    found = held.window(arrays, key, 3, 4, share, batch_size=BATCH)
    for device, slot in enumerate(share):
        own = jax.tree.map(lambda x, device=device: jnp.asarray(x[device]), found)
        for i in range(3, 7):
            _alike(jax.jit(held.draw_window)(own, i, slot), _resident(arrays, key, i, slot))


def test_a_window_of_another_key_is_another(arrays, key):
    one, other = (
        held.window(arrays, k, 0, 2, np.arange(BATCH)[None], batch_size=BATCH)
        for k in (key, jax.random.key(8))
    )
    assert not all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


@pytest.mark.parametrize("n", [2, 8])
def test_shards_have_the_resident_batches_bit_for_bit(arrays, key, n):
    devices = jax.devices()[:n]
    parts = parallel.apart(held.shards(arrays, n, range(n)), devices)
    of = held.lengths(arrays)

    def draw(part, key, i, slot):
        return held.draw_shards(part, key, i, slot, batch_size=BATCH, of=of, axis="x")

    share = np.arange(BATCH, dtype=np.int32).reshape(n, -1)
    over = jax.pmap(draw, axis_name="x", in_axes=(0, None, None, 0), devices=devices)
    for i in DRAWS:
        found = jax.device_get(over(parts, key, i, share))
        whole = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)
        _alike(whole, _resident(arrays, key, i, share.reshape(-1)))


def test_each_device_holds_its_part_and_no_more(arrays):
    cut = held.shards(arrays, 4, range(1, 3))
    for x, part in zip(jax.tree.leaves(arrays), jax.tree.leaves(cut), strict=True):
        per = -(-len(x) // 4)
        assert part.shape == (2, per, *x.shape[1:])
        np.testing.assert_array_equal(part[0], x[per : 2 * per])


def test_lengths_are_of_each_group():
    assert held.lengths(SETS["groups that nothing pairs"]) == {"": 11, "a": 19, "b": 30}
    assert held.lengths(SETS["images with labels"]) == {"": 37}
