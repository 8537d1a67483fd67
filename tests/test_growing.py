"""ProGAN's training: what moves at which level, what D is shown, and what goes on from inside a fade."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import progan
from jaxgan import checkpoint, sampling, steps
from jaxgan.config import InputError
from jaxgan.nets.progan import shown

# Level 0 in steps 0 and 1, the fade from step 2 to step 5, and level 1 from step 6 on.
TINY = {"image_size": 8, "channels": 1, "width": 2, "latent": 4, "batch_size": 8, "stable": 8, "fade": 40}
CFG = progan.Config(**TINY, steps=9)
LEVELS = [0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1]
OLD = {"from_image_0", "to_image_0"}
NEW = {"from_image_1", "to_image_1", "up_0", "down_0"}


@pytest.fixture(scope="module")
def run():
    """The states before each step and after the last, their figures, and the step and what it is given."""
    step = jax.jit(partial(progan.train_step(CFG), *progan.make(CFG)))
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 8, 1)), jnp.float32)
    batch = {"image": image}
    states, figures = [sampling.initial_state(progan.make, CFG, {"image": image[0]})], []
    for _ in LEVELS:
        state, found = step(states[-1], batch)
        states.append(state)
        figures.append(found)
    return states, figures, step, batch


def test_the_level_follows_the_images_that_d_has_seen():
    each = [float(progan.level(CFG, jnp.int32(step))) for step in range(9)]
    np.testing.assert_allclose(each, LEVELS, rtol=1e-6)
    twice = replace(CFG, n_critic=2)
    np.testing.assert_allclose(progan.level(twice, jnp.int32(2)), LEVELS[4], rtol=1e-6)
    assert progan.level(CFG, jnp.int32(2**31 - 1)) == 1


def test_what_a_level_lacks_does_not_move(run):
    states, figures, *_ = run
    for step, level in enumerate(LEVELS):
        before, after = ({**s.g.params, **s.d.params} for s in states[step : step + 2])
        moved = {k for k in before if not jax.tree.all(jax.tree.map(np.array_equal, before[k], after[k]))}
        still = NEW if level == 0 else OLD if level == 1 else set()
        assert moved >= (OLD | NEW) - still
        assert not moved & still
    assert all(np.isfinite(x) for found in figures for x in found.values())


def test_adam_starts_afresh_where_a_fade_begins_and_where_it_ends(run):
    states, *_ = run
    for player in ("g", "d"):
        counts = [int(getattr(s, player).opt.inner[0].count) for s in states[1:]]
        assert counts == [1, 2, 1, 2, 3, 4, 1, 2, 3]
    assert [int(s.g.ema["growth"]["step"]) for s in states[1:]] == list(range(9))


def test_with_several_updates_of_d_both_start_afresh_in_one_step():
    cfg = replace(CFG, n_critic=2)
    _, opts = progan.make(cfg)
    params = {"w": jnp.zeros(2)}
    for tx, updates in ((opts.g, 1), (opts.d, 2)):
        state, update, counts = tx.init(params), jax.jit(tx.update), []
        for _ in range(4 * updates):
            state = update(params, state, params)[1]
            counts.append(int(state.inner[0].count))
        # Steps 0 | 1, 2 | 3: levels 0 | 0.2, 0.6 | 1.
        assert counts == [i + 1 for phase in (1, 2, 1) for i in range(phase * updates)]


def test_real_images_are_faded_as_the_networks_are(monkeypatch):
    image = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, 8, 8, 1)), jnp.float32)
    monkeypatch.setattr(steps, "train_step", lambda gan, opts, state, batches: batches["image"])
    state = sampling.initial_state(progan.make, CFG, {"image": image[0]})
    for step in (0, 3, 6):
        given = state.replace(step=jnp.int32(step)), {"image": image}
        seen = progan.train_step(CFG)(None, None, *given)
        np.testing.assert_allclose(seen, shown(image, LEVELS[step]), atol=1e-6)
        np.testing.assert_array_equal(progan.train_step(replace(CFG, grow=False))(None, None, *given), image)


def test_networks_that_do_not_grow_are_the_last_level(run):
    """The same weights, and logits and images of them."""
    states, *_ = run
    grown, plain = (progan.make(cfg)[0] for cfg in (CFG, replace(CFG, grow=False)))
    z, x = jnp.ones((4, 4)), jnp.linspace(-1, 1, 256).reshape(4, 8, 8, 1)
    for call, variables, of in (("sample", states[-1].g, z), ("critic", states[-1].d, x)):
        both = [jax.jit(getattr(gan, call))(variables.variables, of) for gan in (grown, plain)]
        np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)


def test_the_terms_are_the_papers():
    """D's loss is the Wasserstein one, a penalty of 10 on slopes off 1 and 0.001 D(x)^2 on real images."""
    gan, _ = progan.make(replace(CFG, grow=False))
    image = jnp.asarray(np.random.default_rng(2).normal(size=(8, 8, 8, 1)), jnp.float32)
    state = sampling.initial_state(progan.make, replace(CFG, grow=False), {"image": image})
    batch = {"image": image, "slot": jnp.arange(8)}
    flat = state.d.replace(params=jax.tree.map(jnp.zeros_like, state.d.params))
    flat.params["logit"]["bias"] = jnp.full(1, 3.0)  # so D is 3 everywhere
    d_loss = jax.jit(gan.d_loss)
    loss, (_, found) = d_loss(flat.params, state.replace(d=flat), batch, jax.random.key(0))
    np.testing.assert_allclose(found["gp"], 10, rtol=1e-4)
    np.testing.assert_allclose(found["drift"], 9e-3, rtol=1e-5)
    np.testing.assert_allclose(loss, found["gp"] + found["drift"], rtol=1e-5)
    _, (_, found) = d_loss(state.d.params, state, batch, jax.random.key(0))
    logits = gan.critic(state.d.variables, image)  # of what is real alone
    np.testing.assert_allclose(found["drift"], 1e-3 * np.square(logits).mean(), rtol=1e-4)


def test_networks_that_do_not_grow_up_in_time_are_refused():
    with pytest.raises(InputError, match="grown after 48 images, which 7 steps do not pass"):
        progan.make(replace(CFG, steps=7))
    progan.make(replace(CFG, steps=8))
    progan.make(replace(CFG, steps=7, grow=False))
    with pytest.raises(ValueError, match="8, 16, 32, ... pixels, not 12"):
        progan.make(replace(CFG, image_size=12))


def test_what_is_saved_in_a_fade_goes_on_bit_for_bit(run, tmp_path):
    """The state of step 3, by way of a checkpoint."""
    states, figures, step, batch = run
    with checkpoint.manager(tmp_path / "checkpoints", 1) as manager:
        checkpoint.save(manager, states[3], {})
        manager.wait_until_finished()
        state, _ = checkpoint.restore(manager, jax.eval_shape(lambda: states[3]))
    for expected in figures[3:]:
        state, found = step(state, batch)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    plain = lambda state: state.replace(key=jax.random.key_data(state.key))  # noqa: E731
    jax.tree.map(np.testing.assert_array_equal, plain(state), plain(states[-1]))
    assert state.g.ema["growth"]["step"] == 8
