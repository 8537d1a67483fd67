from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import random, steps
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan
from jaxgan.two_player import two_player


def _equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


@pytest.fixture(scope="module")
def game(tiny):
    gan, opts = tiny()
    batch = {
        "image": jax.random.uniform(jax.random.key(1), (8, 8, 8, 1), minval=-1),
        "slot": jnp.arange(8),
    }
    return gan, steps.create_state(gan, opts, jax.random.key(0), batch), batch


def test_statistics_are_updated_in_their_own_players_step_alone(key):
    gan = two_player(
        dcgan.Generator(width=4, image_size=16),
        dcgan.Discriminator(width=4),
        loss=non_saturating,
        latent=partial(random.normal, shape=(4,)),
    )
    opts = Optimizers(optax.sgd(0.0), optax.sgd(0.0))
    batch = {"image": jax.random.uniform(key, (4, 16, 16, 1)), "slot": jnp.arange(4)}
    state = steps.create_state(gan, opts, key, batch)
    _, (after_d, _) = gan.d_loss(state.d.params, state, batch, key)
    _, (after_g, _) = gan.g_loss(state.g.params, state, batch, key)
    assert _equal(after_d.g, state.g)
    assert not _equal(after_d.d.stats, state.d.stats)
    assert _equal(after_g.d, state.d)
    assert not _equal(after_g.g.stats, state.g.stats)


def test_both_steps_see_the_generator_in_training_mode(game, key):
    """With running statistics that are far off, a generator in inference mode would show it."""
    gan, state, batch = game
    off = jax.tree.map(lambda x: x + 100.0, state.g.stats)
    elsewhere = state.replace(g=state.g.replace(stats=off))
    for loss, who in [(gan.d_loss, "d"), (gan.g_loss, "g")]:
        params = getattr(state, who).params
        same = [loss(params, s, batch, key)[0] for s in (state, elsewhere)]
        np.testing.assert_array_equal(*same)
    z = gan.latent(key, batch["slot"])
    shown = [gan.sample(s.g.variables, z) for s in (state, elsewhere)]
    assert not np.allclose(*shown)  # sampling does use them


def test_the_players_draw_different_latents(game):
    gan, state, batch = game
    key = jax.random.key(0)
    assert not np.allclose(
        gan.latent(steps.fold(key, 0, "d", 0), batch["slot"]),
        gan.latent(steps.fold(key, 0, "g", 0), batch["slot"]),
    )


def test_accuracy_is_reported_apart_for_real_and_fake(game, key):
    gan, state, batch = game
    _, (_, metrics) = gan.d_loss(state.d.params, state, batch, key)
    assert set(metrics) == {"accuracy_real", "accuracy_fake"}
    assert all(0 <= float(m) <= 1 for m in metrics.values())
