"""The experiment's own parts: its path length, and the steps of its regularisers."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from experiments import stylegan2
from jaxgan import projector, random, sampling, steps, terms
from jaxgan.game import Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses import penalties
from jaxgan.losses.adversarial import AdversarialLoss
from jaxgan.nets import mlp
from jaxgan.two_player import two_player

B = 8
BATCH = {"image": jnp.sin(jnp.arange(B * 4.0)).reshape(B, 2, 2, 1), "slot": jnp.arange(B)}


class _Linear(nn.Module):
    """An image that is linear in each layer's w, which is z."""

    layers = 3

    @nn.compact
    def __call__(self, z, *, train, shift=None):
        slope = self.param("slope", nn.initializers.normal(1.0), (3, 5, 4))
        w = jnp.broadcast_to(z[:, None], (len(z), 3, 5)) + (0 if shift is None else shift)
        return jnp.einsum("blw,lwp->bp", w, slope).reshape(-1, 2, 2, 1)


def _linear_game(axis=None):
    nothing = lambda real, fake: jnp.zeros(len(real))  # noqa: E731
    return two_player(
        _Linear(), mlp.Discriminator((4,)), loss=AdversarialLoss(nothing, nothing),
        latent=partial(random.normal, shape=(5,)),
        g_terms={"path": terms.style_path_length(3, 5, weight=2.0, decay=0.01, axis=axis)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def linear():
    """A game, its state with a mean of 3, and a key."""
    state = steps.create_state(
        _linear_game(), Optimizers(optax.sgd(1), optax.sgd(1)), jax.random.key(0), BATCH
    )
    return state.replace(extra={"path": jnp.float32(3.0)}), jax.random.key(1)


def _lengths(slope, key):
    """sqrt(mean over layers |J' y|^2)."""
    y = random.normal(random.fold(key, "path"), BATCH["slot"], (2, 2, 1)).reshape(B, 4) / 2
    return jnp.sqrt(jnp.square(jnp.einsum("lwp,bp->blw", slope, y)).sum(2).mean(1))


def test_the_path_length_of_a_linear_generator_is_known(linear):
    state, key = linear
    (_, (after, figures)), slopes = jax.jit(jax.value_and_grad(_linear_game().g_loss, has_aux=True))(
        state.g.params, state, BATCH, key
    )
    slope = state.g.params["slope"]
    lengths = _lengths(slope, key)
    mean = 3 + 0.01 * (lengths.mean() - 3)
    np.testing.assert_allclose(after.extra["path"], mean, rtol=1e-5)
    np.testing.assert_allclose(figures["path"], 2 * jnp.square(lengths - mean).mean(), rtol=1e-4)
    # To the gradient the mean is a constant.
    expected = jax.grad(lambda s: 2 * jnp.square(_lengths(s, key) - mean).mean())(slope)
    np.testing.assert_allclose(slopes["slope"], expected, rtol=1e-3, atol=1e-5)
    # In the mean over random images it is the slope's own size: E |J' y|^2 = ||J||^2 / pixels.
    many = jnp.stack([_lengths(slope, jax.random.key(i)) for i in range(40)])
    np.testing.assert_allclose(jnp.square(many).mean(), jnp.square(slope).sum() / 3 / 4, rtol=0.2)


def test_over_two_devices_the_mean_length_is_the_batchs(linear):
    state, key = linear

    def loss(axis, batch):
        _, (after, figures) = _linear_game(axis).g_loss(state.g.params, state, batch, key)
        return after.extra["path"], figures["path"]

    shards = jax.tree.map(lambda x: x.reshape(2, B // 2, *x.shape[1:]), BATCH)
    mean, value = jax.jit(lambda batch: loss(None, batch))(BATCH)
    means, values = jax.jit(jax.vmap(partial(loss, "devices"), axis_name="devices"))(shards)
    np.testing.assert_allclose(means, [mean] * 2, rtol=1e-5)
    np.testing.assert_allclose(values.mean(), value, rtol=1e-4)
    apart, _ = jax.jit(jax.vmap(partial(loss, None)))(shards)  # the control
    assert abs(apart[0] - apart[1]) > 1e-4


def test_a_path_length_is_gs_alone(linear):
    state, key = linear
    term = terms.style_path_length(3, 5)
    loss = AdversarialLoss(lambda real, fake: real, lambda real, fake: fake)
    latent = partial(random.normal, shape=(5,))
    wrong = two_player(_Linear(), mlp.Discriminator((4,)), loss=loss, latent=latent, d_terms={"path": term})
    with pytest.raises(ValueError, match="a term of G alone is one of g_terms"):
        wrong.d_loss(state.d.params, state, BATCH, key)


TINY = replace(
    stylegan2.Config(), image_size=8, channels=1, width=2, most=4, latent=3, styles=3, mapping=1, batch_size=4
)  # fmt: skip


def test_regularisers_have_steps_of_their_own(monkeypatch):
    """D, whose rate is 0, is as it was at each, so that R1 is known; G moves, and its average once a step."""
    monkeypatch.setattr(stylegan2, "networks", lambda cfg, axis: (_Linear(), mlp.Discriminator((4,))))
    cfg = replace(stylegan2.Config(), latent=5, styles=5, gamma=2.0, r1_every=3, path_every=2)
    gan, given = stylegan2.make(cfg)
    opts = given._replace(d=optax.adam(0.0), ema_decay=lambda step: 0.9)
    state = steps.create_state(gan, opts, jax.random.key(0), BATCH)
    step = jax.jit(partial(stylegan2.train_step(cfg), gan, opts))
    critic = lambda x: gan.critic(state.d.variables, x)  # noqa: E731
    r1 = penalties.r1(critic, BATCH["image"], None, None, None, gamma=2.0).mean()
    figures, updates, means = [], [], []
    for _ in range(4):
        before = state.g
        state, found = step(state, jax.tree.map(lambda x: x[None], BATCH))
        figures.append(found)
        updates.append((int(state.g.opt[0].count), int(state.d.opt[0].count)))
        means.append(float(state.extra["path_length"]))
        moved = 0.9 * before.ema["params"]["slope"] + 0.1 * state.g.params["slope"]
        np.testing.assert_allclose(state.g.ema["params"]["slope"], moved, rtol=1e-4, atol=1e-5)
    assert updates == [(2, 2), (3, 3), (5, 4), (6, 6)]
    np.testing.assert_allclose([f["d/r1"] for f in figures], [3 * r1, 0, 0, 3 * r1], rtol=1e-4)
    assert [float(f["g/path_length"]) > 0 for f in figures] == [True, False, True, False]
    assert means[0] > 0
    assert means[1] == means[0] != means[2] == means[3]


def test_adam_takes_the_further_steps_into_account():
    cfg = replace(stylegan2.Config(), beta1=0.5, beta2=0.9)
    grads = jnp.ones(())

    def first(weight):
        tx = stylegan2.adam(cfg, 0.1, 4, weight)
        step, state = tx.update(grads, tx.init(grads))
        return float(step), float(state[0].mu), float(state[0].nu)

    np.testing.assert_allclose(first(2.0), (-0.08, 1 - 0.5**0.8, 1 - 0.9**0.8), rtol=1e-4)
    np.testing.assert_allclose(first(0.0), (-0.1, 0.5, 0.1), rtol=1e-4)


def test_each_player_has_a_rate_of_its_own():
    _, opts = stylegan2.make(replace(TINY, g_lr=0.1, d_lr=0.2))
    one = jnp.ones(())
    rates = [float(tx.update(one, tx.init(one))[0]) for tx in (opts.g, opts.d)]
    np.testing.assert_allclose(rates, [-0.1 * 4 / 5, -0.2 * 16 / 17], rtol=1e-4)


def test_weights_of_0_leave_out_what_they_weigh():
    cfg = replace(TINY, gamma=0.0, path_weight=0.0, mixing=0.0)
    gan, opts = stylegan2.make(cfg)
    batch = {"image": jnp.zeros((4, 8, 8, 1)), "slot": jnp.arange(4)}
    state = jax.eval_shape(lambda: steps.create_state(gan, opts, jax.random.key(0), batch))
    assert state.extra == ()
    batches = jax.tree.map(lambda x: x[None], batch)
    _, figures = jax.eval_shape(partial(stylegan2.train_step(cfg), gan, opts), state, batches)
    assert {"d/r1", "g/path_length"} & set(figures) == set()


def test_labels_are_the_conditions_of_both():
    gan, _ = stylegan2.make(replace(TINY, conditional=True, n_classes=3))
    assert gan.condition == "label"
    assert stylegan2.make(TINY)[0].condition is None
    batch = {"image": jnp.zeros((4, 8, 8, 1)), "slot": jnp.arange(4), "label": jnp.arange(4)}
    g, d, _ = jax.eval_shape(gan.init, jax.random.key(0), batch)
    assert "embed" in g["params"]["mapped"]
    assert "mapped" in d["params"]


@pytest.mark.long
def test_an_image_of_a_label_is_projected_into_its_styles():
    """What the game says of its styles is what its generator makes of z; its noise is searched beside."""
    cfg = replace(TINY, conditional=True, n_classes=3)
    gan, _ = stylegan2.make(cfg)
    batch = {"image": jnp.zeros((4, 8, 8, 1)), "slot": jnp.arange(4), "label": jnp.zeros(4, jnp.int32)}
    variables = gan.init(jax.random.key(0), batch)[0]
    z, label = gan.latent(jax.random.key(1), jnp.arange(2)), jnp.array([0, 2])
    w = gan.styles(variables, z, label)
    assert w.shape == (2, 4, 3)
    made = gan.synthesise(variables, w)
    np.testing.assert_allclose(made, gan.sample(variables, z, label), rtol=1e-5, atol=1e-6)
    asked = {"label": np.arange(3, dtype=np.int32)}
    facts = {"classes": ["a", "b", "c"]}
    generator = sampling.Generator(gan, variables, cfg, images, facts, asked, 0, False)
    found = projector.project(generator, generator.decoded(made), steps=4, condition=[0, 2])
    assert found.latent.shape == (2, 4, 3)
    assert projector.project(generator, generator.decoded(made), steps=2, space="w").latent.shape == (2, 1, 3)
