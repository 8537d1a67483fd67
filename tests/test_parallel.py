from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
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


def _real(data, slot, batch_size):
    """state -> the real batches of its step."""
    draw = partial(resident.draw, data, slot=slot, batch_size=batch_size)
    return partial(resident.batches, lambda key, i: draw(key, i))


def _chunk(make, axis):
    step = partial(steps.train_step, *make, axis=axis)

    def chunk(state, data, slot, length):
        real = _real(data, slot, BATCH)
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


@pytest.fixture(params=["in_turn", "side_by_side"])
def over_lanes(request):
    """Makes of a chunk (state, (number, data), slot, length) one over lanes: in turn, or vmapped."""
    device = jax.devices()[:1]
    if request.param == "in_turn":
        return lambda chunk: parallel.in_turn(parallel.over_devices(chunk, device), device)
    return lambda chunk: parallel.over_devices(parallel.side_by_side(chunk), device)


def test_lanes_are_single_runs_of_their_own_rates_and_seeds(over_lanes, request):
    data = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8))}

    def chunk(state, given, slot, length):
        lr, data = given
        real = _real(data, slot, 4)
        return steps.train_chunk(partial(steps.train_step, *_make(lr=lr)), real, state, length)

    rates = [jnp.float32(1e-4), jnp.float32(1e-3)]
    alone = parallel.over_devices(chunk, jax.devices()[:1])
    singles = [alone(_fresh(i), (rates[i], data), jnp.arange(4), 3) for i in range(2)]
    states, metrics = over_lanes(chunk)([_fresh(0), _fresh(1)], (rates, data), jnp.arange(4), 3)
    exactly = "in_turn" in request.node.name
    for state, figures, (single, own) in zip(states, metrics, singles, strict=True):
        assert figures["g/loss"].shape == (3,)
        assert int(state.step) == 3
        for a, b in zip(jax.tree.leaves(state.g.params), jax.tree.leaves(single.g.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=0 if exactly else 1e-4, atol=0 if exactly else 1e-5)
        np.testing.assert_allclose(figures["d/loss"], own["d/loss"], rtol=0 if exactly else 1e-4)


def test_a_condition_on_the_step_stays_a_branch_in_lanes():
    def chunk(state, given, slot, length):
        return state, lax.cond(state.step == 0, lambda: given[0] * 2, lambda: given[0])

    lanes, numbers = [_fresh(0), _fresh(1)], [jnp.float32(1), jnp.float32(2)]
    text = str(jax.make_jaxpr(lambda s, n: parallel.side_by_side(chunk)(s, (n, ()), (), 1))(lanes, numbers))
    assert "cond[" in text
    assert "select_n" not in text
    batched = jax.vmap(lambda s, n: chunk(s, (n, ()), (), 1))
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *lanes)
    assert "select_n" in str(
        jax.make_jaxpr(batched)(stacked, jnp.ones(2))
    )  # with a step a lane, both branches run


@pytest.mark.parametrize("n", [1, 5, 64])
def test_states_of_any_number_of_lanes_are_made(n):
    """One compiled function of a key makes each: initialisers batched over 16 keys hung on jax 0.10.2."""
    init = nn.initializers.orthogonal(1.4)
    make = jax.jit(lambda key: [init(key, shape) for shape in ((16, 16), (16, 8), (16, 2))])
    states = [make(jax.random.key(i)) for i in range(n)]
    assert len({np.asarray(x[0]).tobytes() for x in states}) == n
