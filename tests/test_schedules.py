"""R3GAN's schedules and its own networks, in the experiment."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import dcgan, r3gan
from jaxgan import sampling, steps
from jaxgan.config import InputError

SMALL = r3gan.Config(image_size=8, channels=1, width=8, latent=4, batch_size=4)
BATCH = {"image": jnp.zeros((4, 8, 8, 1)), "label": jnp.arange(4), "slot": jnp.arange(4)}


def _state(cfg):
    return sampling.initial_state(r3gan.make, cfg, BATCH)


def test_a_cosine_goes_from_the_first_value_to_the_last():
    """As cosine_decay_with_warmup of the authors' code has it, without a warmup."""
    value = r3gan.cosine(replace(SMALL, burn_in=8), 2.0, 0.5)
    found = [float(value(step)) for step in (0, 2, 4, 8, 100)]
    np.testing.assert_allclose(found, [2, 0.5 + 1.5 * (0.5 + 0.5**1.5), 1.25, 0.5, 0.5], rtol=1e-6)
    assert r3gan.cosine(replace(SMALL, burn_in=8), 2.0, None)(5) == 2
    assert r3gan.cosine(SMALL, 2.0, 0.5)(0) == 0.5


def test_rates_and_beta2_move_with_the_step_and_not_with_ds_updates():
    """Of a gradient of 1, whose second moments are then those of the betas until then."""
    cfg = replace(SMALL, burn_in=8, g_lr=0.25, d_lr=0.5, lr_last=0.25, beta2=0.5, beta2_last=0.75, n_critic=2)
    opts = r3gan.optimizers(cfg)
    for tx, rate, per in ((opts.g, 0.25, 1), (opts.d, 0.5, 2)):
        x = jnp.zeros(1)
        state, moments = tx.init(x), 0.0
        update = jax.jit(tx.update)
        for count in range(8 * per):
            left = 0.5 + 0.5 * np.cos(np.pi * (count // per) / 8)
            beta2, lr = 0.75 - 0.25 * left, rate * (0.25 + 0.75 * left)
            moments = beta2 * moments + (1 - beta2)
            step, state = update(jnp.ones(1), state)
            expected = -lr / (np.sqrt(moments / (1 - beta2 ** (count + 1))) + 1e-8)
            assert float(step[0]) == pytest.approx(expected, rel=1e-5), count


def test_the_average_forgets_by_a_half_life_in_images():
    cfg = replace(SMALL, burn_in=8, ema_images=64.0)
    decay = r3gan.make(cfg)[1].ema_decay
    # 32 images at half of the burn-in, and 4 images a step.
    np.testing.assert_allclose(
        [decay(0), decay(4), decay(8), decay(99)], [0, 2**-0.125, 2**-0.0625, 2**-0.0625]
    )
    assert r3gan.make(replace(SMALL, ema_images=4.0))[1].ema_decay(0) == 0.5
    assert r3gan.make(SMALL)[1].ema_decay == 0.998


def _terms(cfg, state):
    gan, _ = r3gan.make(cfg)
    loss = jax.jit(lambda step: gan.d_loss(state.d.params, state.replace(step=step), BATCH, state.key)[1][1])
    return lambda step: {name: float(loss(step)[name]) for name in ("r1", "r2")}


def test_gamma_moves_with_the_step():
    state = _state(SMALL)
    plain = _terms(SMALL, state)(0)
    found = _terms(replace(SMALL, burn_in=8, gamma=1.0, gamma_last=0.5), state)
    for step, gamma in ((0, 1.0), (4, 0.75), (8, 0.5)):
        assert found(step) == pytest.approx({name: gamma * value for name, value in plain.items()}, rel=1e-5)
    assert min(plain.values()) > 0


def test_ds_input_is_augmented_if_asked_for():
    """Not at 0, and differently at other chances, by one program."""
    state, key = _state(SMALL), jax.random.key(1)
    batch = BATCH | {"image": jax.random.normal(key, (4, 8, 8, 1))}

    def loss(p, by="diff_augment"):
        gan, _ = r3gan.make(replace(SMALL, augment=by, augment_p=p))
        return gan.d_loss(state.d.params, state, batch, key)[0]

    none = jax.jit(partial(loss, None, "none"))()
    never, always = jax.jit(jax.vmap(loss))(jnp.array([0.0, 1.0]))
    assert float(none) == pytest.approx(float(never), rel=1e-6)
    assert abs(float(always) - float(none)) > 1e-4 * float(none)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_papers_networks_go_with_all_schedules(conditional):
    labels = {"conditional": True, "n_classes": 10} if conditional else {}
    last = {"gamma_last": 0.1, "lr_last": 0.25, "beta2_last": 0.99, "ema_images": 8.0}
    cfg = replace(SMALL, networks="r3gan", burn_in=4, augment="ada", powers=(0.1,), **last, **labels)
    gan, opts = r3gan.make(cfg)
    state = jax.eval_shape(lambda: _state(cfg))
    assert set(state.g.powers) == {"0.1"}
    batches = jax.tree.map(lambda x: x[None], BATCH)
    after, metrics = jax.eval_shape(lambda state: steps.train_step(gan, opts, state, batches), state)
    assert after == state
    assert {"d/r1", "d/r2"} <= set(metrics)
    asked = (BATCH["label"],) if conditional else ()
    shape = jax.eval_shape(gan.sample, after.g.variables, jnp.zeros((4, 4)), *asked).shape
    assert shape == (4, 8, 8, 1)
    assert ("embed" in state.g.params) == ("embed" in state.d.params) == conditional


def test_widths_are_the_papers():
    sizes = {
        size: r3gan.networks(replace(SMALL, networks="r3gan", image_size=size, width=768), None)
        for size in (32, 256)
    }
    assert [net.widths for net in sizes[32]] == [(768,) * 4] * 2
    assert [net.widths for net in sizes[256]] == [(768,) * 4 + (384, 192, 96)] * 2


def test_by_default_it_is_dcgans_game():
    """No schedule, no label, no further network: the optimisers' states are plain Adam's."""
    state, cfg = _state(SMALL), dcgan.Config(image_size=8, channels=1, width=8, latent=4)
    g = dcgan.generator(cfg, None)
    assert jax.tree.structure(state.g.opt) == jax.tree.structure(dcgan.optimizers(cfg).g.init(state.g.params))
    shapes = jax.eval_shape(lambda: g.init(jax.random.key(0), jnp.zeros((4, 4)), train=True))
    assert jax.tree.map(jnp.shape, state.g.params) == jax.tree.map(jnp.shape, shapes["params"])
    assert state.g.powers is None


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"gamma_last": 0.1}, "--gamma-last is reached after --burn-in steps"),
        ({"lr_last": 0.1}, "--lr-last is reached after --burn-in steps"),
        ({"beta2_last": 0.1}, "--beta2-last is reached after --burn-in steps"),
        ({"conditional": True}, "--conditional: the data has no classes"),
        ({"networks": "r3gan", "image_size": 28}, "--image-size 28: R3GAN's networks make 4, 8, 16"),
        ({"networks": "r3gan", "image_size": 2}, "--image-size 2: R3GAN's networks make 4, 8, 16"),
    ],
)
def test_what_does_not_go_together_is_said(flags, told):
    with pytest.raises(InputError, match=told):
        r3gan.make(replace(SMALL, **flags))
