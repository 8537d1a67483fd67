from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import parallel, steps
from jaxgan.data import resident
from jaxgan.game import GAN, GANState, Optimizers, Player

BATCH = 8


def _same(a, b):
    jax.tree.map(np.testing.assert_array_equal, _raw(a), _raw(b))


def _raw(state):
    return jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))


def _distance(a, b):
    """Of the players' parameters, relative in norm."""
    flat = [jnp.concatenate([x.ravel() for x in jax.tree.leaves((s.g.params, s.d.params))])
            for s in (a, b)]  # fmt: skip
    flat = [np.asarray(x) for x in flat]
    return np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[0])


@pytest.fixture(scope="module")
def setting(tiny, images):
    gan, opts = tiny()
    data = {"image": jnp.asarray(images)}
    batch = {"image": jnp.zeros((BATCH, 8, 8, 1)), "slot": jnp.arange(BATCH)}
    fresh = lambda: steps.create_state(gan, opts, jax.random.key(3), batch)  # noqa: E731
    return gan, opts, data, fresh


def _real(data, slot, batch_size, n_critic=1):
    """state -> the real batches of its step."""
    draw = partial(resident.draw, data, slot=slot, batch_size=batch_size)
    return partial(resident.batches, lambda key, i: draw(key, i), n_critic=n_critic)


def _chunk(gan, opts, n_critic=1, **options):
    step = partial(steps.train_step, gan, opts, **options)

    def chunk(state, data, slot, length):
        return steps.train_chunk(step, _real(data, slot, BATCH, n_critic), state, length)

    return chunk


@pytest.fixture(scope="module")
def run(setting):
    gan, opts, data, _ = setting
    chunk = jax.jit(_chunk(gan, opts), static_argnums=3)
    return lambda state, length: chunk(state, data, jnp.arange(BATCH), length)


def test_a_step_changes_its_own_player_alone(setting, key):
    gan, opts, data, fresh = setting
    state = fresh()
    batch = {"image": jnp.ones((BATCH, 8, 8, 1)), "slot": jnp.arange(BATCH)}
    after, metrics = jax.jit(partial(steps.d_step, gan, opts))(state, batch)
    _same(after.replace(d=state.d), state)
    assert set(metrics) == {"d/loss", "d/accuracy_real", "d/accuracy_fake"}
    assert not np.array_equal(*(jax.tree.leaves(s.d.params)[0] for s in (after, state)))
    after, metrics = jax.jit(partial(steps.g_step, gan, opts))(state, batch)
    assert int(after.step) == 1  # G's update ends the step
    _same(after.replace(g=state.g, step=state.step), state)
    assert set(metrics) == {"g/loss"}
    assert not np.array_equal(*(jax.tree.leaves(s.g.params)[0] for s in (after, state)))


def test_a_scan_equals_a_loop(setting, run):
    gan, opts, data, fresh = setting
    scanned, metrics = run(fresh(), 6)
    step = jax.jit(lambda s: steps.train_step(
        gan, opts, s, _real(data, jnp.arange(BATCH), BATCH)(s)))  # fmt: skip
    state, losses = fresh(), []
    for _ in range(6):
        state, m = step(state)
        losses.append(m["d/loss"])
    assert int(state.step) == int(scanned.step) == 6
    assert _distance(state, scanned) < 1e-5
    np.testing.assert_allclose(metrics["d/loss"], losses, rtol=1e-4)


def test_the_chunks_length_changes_nothing(setting, run):
    whole, all_metrics = run(setting[3](), 12)
    for length in (1, 3):
        state, parts = setting[3](), []
        for _ in range(12 // length):
            state, metrics = run(state, length)
            parts.append(metrics)
        _same(state, whole)
        for name, values in all_metrics.items():
            np.testing.assert_array_equal(jnp.concatenate([p[name] for p in parts]), values)


def test_a_step_is_replayed_from_its_state(setting, run):
    state, _ = run(setting[3](), 2)
    _same(run(state, 2)[0], run(state, 2)[0])
    elsewhere = state.replace(key=jax.random.key(4))
    assert _distance(run(elsewhere, 2)[0], run(state, 2)[0]) > 1e-4  # the key does matter


def test_the_state_can_be_donated(setting):
    gan, opts, data, fresh = setting
    run = parallel.over_devices(_chunk(gan, opts), jax.devices()[:1])
    state = fresh()
    after, _ = run(state, data, jnp.arange(BATCH), 2)
    assert jax.tree.leaves(state.g.params)[0].is_deleted()
    assert int(after.step) == 2


def _count(**options):
    """Two steps of a D that sums the examples and the noise that it has seen and a G that does
    nothing, with three updates of D: (state before, after, metrics, step's batches)."""

    def d_loss(params, state, batch, key):
        seen = params["seen"]
        total = jnp.zeros_like(seen).at[batch["image"].astype(jnp.int32)].add(1.0)
        noise = jax.random.normal(key)
        return -(seen * total).sum() - params["noise"] * noise, (state, {"noise": noise})

    def g_loss(params, state, batch, key):
        return params * 0.0, (state, {"last": batch["image"].sum(), "noise": jax.random.normal(key)})

    gan = GAN(None, d_loss, g_loss, None, None)
    sgd = optax.sgd(1.0)
    d_params = {"seen": jnp.zeros(12), "noise": jnp.zeros(())}
    state = GANState(
        jnp.int32(0),
        jax.random.key(0),
        Player(jnp.zeros(()), {}, sgd.init(jnp.zeros(()))),
        Player(d_params, {}, sgd.init(d_params)),
    )
    data = {"image": jnp.arange(12.0)}
    real = _real(data, jnp.arange(4), 4, n_critic=3)
    step = partial(steps.train_step, gan, Optimizers(sgd, sgd, **options))
    return state, *steps.train_chunk(step, real, state, 2), real


def test_each_critic_update_has_its_own_batch_and_key():
    state, after, metrics, real = _count()
    # 2 steps x 3 updates x 4 examples are two epochs of 12: each example has been seen twice.
    np.testing.assert_array_equal(after.d.params["seen"], 2 * np.ones(12))
    draws = [jax.random.normal(steps.fold(state.key, s, "d", t)) for s in (0, 1) for t in range(3)]
    np.testing.assert_allclose(after.d.params["noise"], sum(draws), rtol=1e-5)
    assert len({float(x) for x in draws}) == 6
    lasts = [real(state.replace(step=jnp.int32(s)))["image"][-1].sum() for s in (0, 1)]
    np.testing.assert_array_equal(metrics["g/last"], lasts)


def test_g_draws_its_own_or_what_d_drew_last(tiny):
    for shared in (False, True):
        _, _, metrics, _ = _count(shared_draws=shared)
        assert np.array_equal(metrics["g/noise"], metrics["d/noise"]) == shared
    # Then both passes of G are one.
    gan, opts = tiny(kind="mlp")
    batch = {"image": jnp.zeros((BATCH, 8, 8, 1)), "slot": jnp.arange(BATCH)}
    state = steps.create_state(gan, opts, jax.random.key(0), batch)

    def work(opts):
        step = partial(steps.train_step, gan, opts)
        program = jax.jit(step).lower(state, jax.tree.map(lambda x: x[None], batch))
        return program.compile().cost_analysis()["flops"]

    kernels = sum(x.size for x in jax.tree.leaves(state.g.params) if x.ndim == 2)
    assert work(opts) - work(opts._replace(shared_draws=True)) > 2 * BATCH * kernels


def test_microbatches_add_up_to_the_batch(tiny, images):
    """Without batch norm, the same run; also the random numbers are those of the whole batch."""
    gan, opts = tiny(kind="mlp")
    data = {"image": jnp.asarray(images)}
    batch = {"image": jnp.zeros((BATCH, 8, 8, 1)), "slot": jnp.arange(BATCH)}
    state = steps.create_state(gan, opts, jax.random.key(0), batch)
    ends = [
        jax.jit(_chunk(gan, opts, accumulate=parts), static_argnums=3)(state, data, jnp.arange(BATCH), 5)
        for parts in (1, 2, 4)
    ]
    for end, metrics in ends[1:]:
        assert _distance(end, ends[0][0]) < 1e-5
        np.testing.assert_allclose(metrics["d/loss"], ends[0][1]["d/loss"], rtol=1e-4)


def test_the_average_warms_up(setting, run):
    """Also the running statistics are averaged: those of the live weights belong to other weights."""
    state = setting[3]()
    jax.tree.map(np.testing.assert_array_equal, state.g.ema, state.g.variables)
    expected = state.g.variables
    for step in range(3):
        state, _ = run(state, 1)
        d = min(0.9, (1 + step) / (10 + step))
        expected = jax.tree.map(lambda e, p, d=d: d * e + (1 - d) * p, expected, state.g.variables)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), state.g.ema, expected)
    assert state.g.averaged is state.g.ema
    assert float(steps.ema_warmup(0.9, 10_000)) == pytest.approx(0.9)


def test_no_average_is_kept_unless_asked(tiny):
    gan, opts = tiny(ema_decay=None)
    batch = {"image": jnp.zeros((BATCH, 8, 8, 1)), "slot": jnp.arange(BATCH)}
    state = steps.create_state(gan, opts, jax.random.key(0), batch)
    assert state.g.ema is None
    state, _ = steps.g_step(gan, opts, state, batch)
    assert state.g.ema is None
    assert state.g.averaged["params"] is state.g.params


def test_d_tells_black_from_white(tiny):
    """D's loss falls far below 1 on separable data; with a sigmoid too many it would stay at 1.0064."""
    gan, opts = tiny(kind="mlp")
    batch = {"image": jnp.ones((BATCH, 8, 8, 1)), "slot": jnp.arange(BATCH)}  # G's are near 0
    state = steps.create_state(gan, opts, jax.random.key(0), batch)
    step = jax.jit(partial(steps.d_step, gan, opts))
    for _ in range(150):
        state, metrics = step(state, batch)
    assert float(metrics["d/loss"]) < 0.2
    assert float(metrics["d/accuracy_real"]) == float(metrics["d/accuracy_fake"]) == 1


def test_frozen_weights_are_an_argument_and_no_constant():
    """A network in a closure is written into the program."""
    big = jax.random.normal(jax.random.key(0), (50, 50))
    sgd = optax.sgd(1.0)
    player = Player(jnp.ones(2), {}, sgd.init(jnp.ones(2)))
    state = GANState(jnp.int32(0), jax.random.key(0), player, player, frozen=big)

    def d_loss(params, state, batch, key):
        return (params * state.frozen.sum()).sum(), (state, {})

    carried = partial(steps.update, "d", d_loss, sgd)
    closed = lambda state, batch: carried(state.replace(frozen=big), batch)  # noqa: E731
    sizes = [len(jax.jit(f).lower(state, {}).as_text()) for f in (carried, closed)]
    assert sizes[1] - sizes[0] > 10_000


def test_the_steps_called_in_turn_are_the_train_step(setting):
    """The documented loop: each round draws anew, G's average warms up, and the state is `train_step`'s."""
    gan, opts, data, fresh = setting
    real = _real(data, jnp.arange(BATCH), BATCH)
    d_step, g_step, whole = (
        jax.jit(partial(f, gan, opts)) for f in (steps.d_step, steps.g_step, steps.train_step)
    )
    state, other, averages = fresh(), fresh(), []
    for _ in range(3):
        batches = real(state)
        batch = jax.tree.map(lambda x: x[0], batches)
        state, _ = d_step(state, batch)
        assert int(state.step) == int(other.step)
        state, _ = g_step(state, batch)
        other, _ = whole(other, batches)
        averages.append(state.g.averaged)
    assert int(state.step) == int(other.step) == 3
    assert _distance(state, other) < 1e-6
    z = [gan.latent(steps.fold(state.key, step, "d", 0, "latent"), jnp.arange(BATCH)) for step in range(2)]
    assert not np.allclose(*z)


def test_a_half_life_forgets_half_in_so_many_images():
    decay = steps.half_life(1000.0, 10, ramp=None)
    assert float(decay(jnp.int32(5))) ** 100 == pytest.approx(0.5, rel=1e-4)  # 100 steps of 10 images
    ramped = steps.half_life(1000.0, 10, ramp=0.05)
    # After 40 steps of 10 images the half-life is 20 images, 2 steps.
    assert float(ramped(jnp.int32(39))) ** 2 == pytest.approx(0.5, rel=1e-4)
    assert float(ramped(jnp.int32(10_000))) == pytest.approx(float(decay(0)), rel=1e-6)
