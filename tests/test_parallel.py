from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from jaxgan import parallel, random, steps
from jaxgan.data import resident
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan
from jaxgan.two_player import two_player

BATCH, STEPS = 16, 20


def _make(axis=None, lr=2e-4):
    """Both networks with batch norm, so that statistics must be shared."""
    gan = two_player(
        dcgan.Generator(width=4, image_size=16, axis=axis),
        dcgan.Discriminator(width=4, axis=axis),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
    )
    return gan, Optimizers(optax.adam(lr, b1=0.5), optax.adam(lr, b1=0.5), 0.9)


def _chunk(make, axis):
    step = partial(steps.train_step, *make, axis=axis)

    def chunk(state, data, slot, length):
        real = partial(resident.batches, data, slot=slot, batch_size=BATCH)
        return steps.train_chunk(step, real, state, length)

    return chunk


def _fresh(seed=0):
    batch = {"image": jnp.zeros((2, 16, 16, 1)), "slot": jnp.arange(2)}
    return steps.create_state(*_make(), jax.random.key(seed), batch)


def _run(n, axis, norm_axis):
    devices = jax.devices()[:n]
    run = parallel.over_devices(_chunk(_make(norm_axis), axis), devices)
    noise = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8)
    data = parallel.replicate({"image": jnp.asarray(noise)}, devices)
    state = parallel.replicate(_fresh(), devices)
    return run(state, data, jnp.arange(BATCH), STEPS)


@pytest.fixture(scope="module")
def one():
    return _run(1, None, None)


def _distance(a, b):
    flat = [np.concatenate([np.ravel(x) for x in jax.tree.leaves((s.g.params, s.d.params))])
            for s in (a, b)]  # fmt: skip
    return np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1])


@pytest.mark.parametrize("n", [2, 8])
def test_devices_make_the_run_of_one(one, n):
    state, metrics = _run(n, parallel.AXIS, parallel.AXIS)
    parallel.assert_replicated(state)
    assert int(state.step) == STEPS
    assert _distance(state, one[0]) < 1e-4
    for stats, alone in zip(*(jax.tree.leaves((s.g.stats, s.d.stats)) for s in (state, one[0])), strict=True):
        np.testing.assert_allclose(stats, alone, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["d/loss"], one[1]["d/loss"], rtol=1e-3)
    leaves = jax.tree.leaves(state)
    assert all(len(leaf.sharding.device_set) == n for leaf in leaves)


def test_without_shared_statistics_the_run_is_another(one):
    """The negative control: gradients are averaged, but each batch norm sees its shard alone."""
    state, _ = _run(2, parallel.AXIS, None)
    assert _distance(state, one[0]) > 1e-3


def test_a_forgotten_mean_is_caught():
    state, _ = _run(2, None, parallel.AXIS)
    with pytest.raises(AssertionError, match=r"different values at \.[gd]\."):
        parallel.assert_replicated(state)


def _lanes(chunk_of, lanes):
    states = [_fresh(seed) for seed in range(len(lanes))]
    raw = [s.replace(key=jax.random.key_data(s.key)) for s in states]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *raw)
    stacked = stacked.replace(key=jax.random.wrap_key_data(stacked.key), step=jnp.int32(0))
    return jax.jit(parallel.over_lanes(chunk_of))(stacked, lanes), states


@pytest.fixture(params=["cpu", "gpu"])
def manner(request, monkeypatch):
    """Lanes in turn, as on a CPU, and side by side, as elsewhere."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)


def test_lanes_are_single_runs_of_their_own_rates_and_seeds(manner):
    data = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8))}

    def chunk(state, lr):
        real = partial(resident.batches, data, slot=jnp.arange(4), batch_size=4)
        return steps.train_chunk(partial(steps.train_step, *_make(lr=lr)), real, state, 3)

    rates = jnp.array([1e-4, 1e-3])
    (state, metrics), singles = _lanes(chunk, rates)
    assert metrics["g/loss"].shape == (2, 3)
    assert int(state.step) == 3
    for i in range(2):
        alone, _ = jax.jit(chunk)(singles[i], rates[i])
        lane = jax.tree.map(lambda x, i=i: x[i], state.g.params)
        for a, b in zip(jax.tree.leaves(lane), jax.tree.leaves(alone.g.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_condition_on_the_step_stays_a_branch_in_lanes(manner):
    def chunk(state, lane):
        return state, lax.cond(state.step == 0, lambda: lane * 2, lambda: lane)

    state = _fresh()
    lanes = jax.tree.map(lambda x: x[None], state).replace(step=state.step)
    text = str(jax.make_jaxpr(parallel.over_lanes(chunk))(lanes, jnp.ones(1)))
    assert "cond[" in text
    assert "select_n" not in text
    batched = str(jax.make_jaxpr(jax.vmap(chunk))(jax.tree.map(lambda x: x[None], state), jnp.ones(1)))
    assert "select_n" in batched  # with a step a lane, both branches would run
