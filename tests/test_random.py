import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan import random


def test_fold_takes_integers_and_names(key):
    data = [
        tuple(jax.random.key_data(random.fold(key, *d)).tolist())
        for d in [(1, "d"), (1, "g"), (2, "d"), ("d", 1)]
    ]
    assert len(set(data)) == 4
    assert data[0] == tuple(jax.random.key_data(random.fold(key, jnp.int32(1), "d")).tolist())


@pytest.mark.parametrize("draw", [random.normal, random.uniform])
def test_an_example_draws_from_its_slot_alone(draw, key):
    whole = draw(key, jnp.arange(8), (3,))
    halves = [draw(key, slot, (3,)) for slot in (jnp.arange(4), jnp.arange(4, 8))]
    np.testing.assert_array_equal(whole, jnp.concatenate(halves))
    assert len(np.unique(whole)) == 24  # no two examples and no two entries share a number


def test_moments(key):
    slot = jnp.arange(20_000)
    z = random.normal(key, slot, (2,))
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02
    u = random.uniform(key, slot, (2,), minval=-1.0)
    assert u.min() >= -1
    assert u.max() < 1
    assert abs(u.std() - 3**-0.5) < 0.01


def test_integers_are_uniform_and_belong_to_their_slots(key):
    slot = jnp.arange(10_000)
    x = random.integers(key, slot, 5, (2,))
    np.testing.assert_array_equal(x[7:9], random.integers(key, slot[7:9], 5, (2,)))
    counts = np.bincount(np.ravel(x), minlength=5)
    assert len(counts) == 5
    assert ((counts - 4000) ** 2 / 4000).sum() < 18.5  # 99.9 % of chi-square with 4 degrees
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.03


def test_truncation_cuts_the_tails_and_keeps_the_middle(key):
    slot = jnp.arange(5000)

    def latent(key, slot):
        return random.normal(key, slot, (2,))

    z, cut = latent(key, slot), random.truncated(latent, key, slot, 0.7)
    inside = jnp.abs(z) < 0.7
    assert float(jnp.abs(cut).max()) < 0.7 < float(jnp.abs(z).max())
    np.testing.assert_array_equal(z[inside], cut[inside])
    assert abs(float(cut.std()) - 0.3863) < 0.01  # of N(0, 1) restricted to (-0.7, 0.7)


@settings(deadline=None, max_examples=4)
@given(n=st.integers(1, 3000), seed=st.integers(0, 2**31))
def test_permute_is_a_permutation(n, seed):
    order = jax.jit(random.permute, static_argnums=2)(jax.random.key(seed), jnp.arange(n), n)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("n", [3, 10, 61])
def test_permutations_are_uniform(n):
    """Over many keys each entry takes each value equally often, and so does each pair of entries."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    orders = np.asarray(jax.vmap(lambda k: random.permute(k, jnp.arange(3), n))(keys))
    for i in range(3):
        counts = np.bincount(orders[:, i], minlength=n)
        chi2 = ((counts - 20_000 / n) ** 2 / (20_000 / n)).sum()
        assert chi2 < (n - 1) + 5 * np.sqrt(2 * (n - 1)), (i, counts)
    shift = (orders[:, 1] - orders[:, 0]) % n  # uniform on 1 .. n - 1
    counts = np.bincount(shift, minlength=n)[1:]
    chi2 = ((counts - 20_000 / (n - 1)) ** 2 / (20_000 / (n - 1))).sum()
    assert chi2 < (n - 2) + 5 * np.sqrt(2 * (n - 2)), counts


def test_permutations_are_the_same_where_numbers_are_wide(key):
    order = random.permute(key, jnp.arange(50), 50)
    with jax.enable_x64(True):
        wide = random.permute(key, jnp.arange(50), 50)
    assert wide.dtype == jnp.int32
    np.testing.assert_array_equal(wide, order)


def test_permute_with_a_key_for_each_entry(key):
    keys = jax.random.split(key, 2)
    both = random.permute(keys[jnp.array([0, 0, 1, 1])], jnp.array([0, 5, 0, 5]), 9)
    each = [random.permute(k, jnp.array([0, 5]), 9) for k in keys]
    np.testing.assert_array_equal(both, jnp.concatenate(each))
