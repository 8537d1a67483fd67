"""The variational autoencoder of experiments/vae.py: on the line, where networks are linear and the evidence
is known, and what its game is with DCGAN's networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import stats

from experiments import dcgan, vae
from jaxgan import recipes, steps
from jaxgan.game import GANState, Optimizers, Player
from jaxgan.losses.variational import divergence

WEIGHT, BIAS, NOISE = 1.5, -0.5, 0.7  # the data are WEIGHT z + BIAS + NOISE e: N(BIAS, WEIGHT^2 + NOISE^2)
TOTAL = WEIGHT**2 + NOISE**2
BEST = {"weight": WEIGHT / TOTAL, "bias": -BIAS * WEIGHT / TOTAL, "log_variance": np.log(NOISE**2 / TOTAL)}
X = jnp.array([[-2.0], [0.3], [4.0]])


class Line(nn.Module):
    """z [B, 1] -> means [B, 1]."""

    @nn.compact
    def __call__(self, z, train):
        weight, bias = (self.param(k, nn.initializers.ones, ()) for k in ("weight", "bias"))
        return weight * z + bias


class Inverse(nn.Module):
    """Data [B, 1] -> the mean and the log variance of z."""

    @nn.compact
    def __call__(self, x, train):
        weight, bias, v = (
            self.param(k, nn.initializers.ones, ()) for k in ("weight", "bias", "log_variance")
        )
        return weight * x + bias, jnp.broadcast_to(v, x.shape)


def _game(**options):
    return vae.autoencoder(Line(), Inverse(), latent=1, **{"deviation": NOISE, **options})


def _state(d=BEST, opts=None):
    tx = optax.sgd(0.1)
    g, d = ({k: jnp.float32(v) for k, v in p.items()} for p in ({"weight": WEIGHT, "bias": BIAS}, d))
    return GANState(jnp.int32(0), jax.random.key(0), Player(g, {}, tx.init(g)), Player(d, {}, tx.init(d)))


def _batch(x, n):
    """Each of x [M, 1] n times."""
    return {"image": jnp.repeat(x, n, 0), "slot": jnp.arange(n * len(x))}


def _bound(x, d, n=40_000, **options):
    """The loss of data x [1], and its standard error by chunks of draws."""
    loss = jax.jit(_game(**options).g_loss)
    found = [float(loss(_state().g.params, _state(d), _batch(x[None], n // 20), jax.random.key(i))[0])
             for i in range(20)]  # fmt: skip
    return np.mean(found), np.std(found, ddof=1) / np.sqrt(20)


@pytest.mark.parametrize("x", X)
def test_the_bound_of_the_true_posterior_is_the_evidence(x):
    found, error = _bound(x, BEST)
    evidence = stats.norm(BIAS, np.sqrt(TOTAL)).logpdf(float(x[0]))
    assert found == pytest.approx(-evidence, abs=5 * error)
    assert error < 0.01


def test_another_posterior_loses_its_divergence_from_the_true_one():
    other = {"weight": 0.2, "bias": 0.4, "log_variance": -0.3}
    x = 0.3
    found, error = _bound(jnp.array([x]), other)
    mean, true = (p["weight"] * x + p["bias"] for p in (other, BEST))
    shift = (mean - true) / np.exp(BEST["log_variance"] / 2)
    apart = divergence(jnp.array([[shift]]), jnp.array([[other["log_variance"] - BEST["log_variance"]]]))[0]
    evidence = stats.norm(BIAS, np.sqrt(TOTAL)).logpdf(x)
    assert float(apart) > 0.1
    assert found + evidence == pytest.approx(float(apart), abs=5 * error)


def test_the_gradient_through_the_draw_is_that_of_the_mean_loss():
    """Both players', beside the closed form of E_q; that of the log variance comes by the draw alone."""
    d = {"weight": 0.2, "bias": 0.4, "log_variance": -0.3}
    x = X[:, 0]

    def exact(g, d):
        mean, variance = d["weight"] * x + d["bias"], jnp.exp(d["log_variance"])
        square = jnp.square(x - g["weight"] * mean - g["bias"]) + g["weight"] ** 2 * variance
        kl = divergence(mean[:, None], jnp.full((3, 1), d["log_variance"]))
        return (square / (2 * NOISE**2) + kl).mean()

    state, batch = _state(d), _batch(X, 20_000)
    expected = jax.grad(exact, (0, 1))(state.g.params, state.d.params)
    gan = _game()
    for loss, player, wanted in zip((gan.g_loss, gan.d_loss), (state.g, state.d), expected, strict=True):
        found = jax.jit(jax.grad(loss, has_aux=True))(player.params, state, batch, jax.random.key(1))[0]
        for name in found:
            assert float(found[name]) == pytest.approx(float(wanted[name]), rel=0.03, abs=0.03), name


def test_without_the_divergence_the_posterior_narrows():
    """beta = 0 is a plain autoencoder: nothing holds the variance, and the loss is the reconstruction."""
    state, batch = _state(), _batch(X, 2000)

    def slope(beta):
        of = jax.jit(jax.grad(_game(beta=beta).d_loss, has_aux=True))
        return float(of(state.d.params, state, batch, state.key)[0]["log_variance"])

    assert slope(1.0) == pytest.approx(0, abs=0.05)  # BEST is the best
    assert slope(0.0) > 0.3
    loss, (_, parts) = jax.jit(_game(beta=0.0).g_loss)(state.g.params, state, batch, state.key)
    assert float(loss) == float(parts["reconstruction"])
    loss, (_, parts) = jax.jit(_game(beta=2.0).g_loss)(state.g.params, state, batch, state.key)
    assert float(loss) == pytest.approx(float(parts["reconstruction"] + 2 * parts["kl"]), rel=1e-6)


def test_the_variance_that_is_not_given_is_the_batchs_error():
    """So that the reconstruction is log(2 pi e s^2) / 2, and its gradient that of log(s^2) / 2."""
    state, batch = _state(), _batch(X, 4)
    gan = _game(deviation=None)
    _, (_, parts) = jax.jit(gan.g_loss)(state.g.params, state, batch, state.key)

    def fixed(params, s):  # the same draws with a deviation that is given tell the squares
        return _game(deviation=s).g_loss(params, state, batch, state.key)[1][1]["reconstruction"]

    one, half = (float(jax.jit(fixed)(state.g.params, s)) for s in (1.0, 0.5))
    square = 2 * (one - np.log(2 * np.pi) / 2)
    assert half == pytest.approx(square / 0.5 + np.log(2 * np.pi * 0.25) / 2, rel=1e-5)
    assert float(parts["reconstruction"]) == pytest.approx(np.log(2 * np.pi * np.e * square) / 2, rel=1e-5)

    def logarithm(params):
        return jnp.log(2 * (fixed(params, 1.0) - np.log(2 * np.pi) / 2)) / 2

    grads = jax.jit(jax.grad(gan.g_loss, has_aux=True))(state.g.params, state, batch, state.key)[0]
    for name, wanted in jax.jit(jax.grad(logarithm))(state.g.params).items():
        assert float(grads[name]) == pytest.approx(float(wanted), rel=1e-4), name


def test_two_shards_have_the_gradients_of_the_whole():
    """Also where the variance is the batch's: each shard is given that of all."""
    state, batch = _state(), _batch(X, 4)
    gan, sharded = _game(deviation=None), _game(deviation=None, axis="devices")
    halves = jax.tree.map(lambda x: x.reshape(2, -1, *x.shape[1:]), batch)
    for who in "gd":
        params = getattr(state, who).params
        whole, part = (jax.grad(getattr(of, f"{who}_loss"), has_aux=True) for of in (gan, sharded))
        whole = jax.jit(whole)(params, state, batch, state.key)[0]
        shards = jax.vmap(lambda b, f=part, p=params: f(p, state, b, state.key)[0], axis_name="devices")
        each = jax.jit(shards)(halves)
        for name in whole:
            assert float(each[name].mean()) == pytest.approx(float(whole[name]), rel=1e-4, abs=1e-5)


def test_a_step_is_one_gradient_of_one_bound():
    """With shared draws; without, encoder and decoder see two draws of z."""
    state, batch = _state({"weight": 0.2, "bias": 0.4, "log_variance": -0.3}), _batch(X, 2)
    gan, sgd = _game(), optax.sgd(0.1)

    def joint(g, d, key):
        return gan.g_loss(g, state.replace(d=state.d.replace(params=d)), batch, key)[0]

    key = steps.shared_key(Optimizers(sgd, sgd, shared_draws=True), state, 0)
    expected = jax.jit(jax.grad(joint, (0, 1)))(state.g.params, state.d.params, key)
    for shared in (True, False):
        opts = Optimizers(sgd, sgd, shared_draws=shared)
        step = jax.jit(partial(vae.train_step(None), gan, opts))
        after, figures = step(state, jax.tree.map(lambda x: x[None], batch))
        moved = [
            jax.tree.map(lambda a, b: 10 * (b - a), new.params, old.params)
            for new, old in zip((after.g, after.d), (state.g, state.d), strict=True)
        ]
        same = [np.allclose(jax.tree.leaves(a), jax.tree.leaves(b), rtol=1e-4) for a, b in
                zip(moved, expected, strict=True)]  # fmt: skip
        assert same == [shared, True]
        assert (float(figures["d/loss"]) == float(figures["g/loss"])) == shared


def test_the_decoder_is_dcgans_generator():
    """Of the same parameters, so that either samples the other's; and the encoder's statistics stay D's."""
    small = dict(image_size=16, channels=1, width=4, latent=3, batch_size=4)
    batch = {"image": jnp.zeros((4, 16, 16, 1)), "slot": jnp.arange(4)}
    shapes = []
    for module in (vae, dcgan):
        cfg = recipes.filled(module.Config(**small), 1)
        gan, opts = module.make(cfg)
        state = jax.eval_shape(partial(steps.create_state, gan, opts), jax.random.key(0), batch)
        shapes.append(jax.tree.map(lambda x: x.shape, state.g.variables))
    assert shapes[0] == shapes[1]
    gan, opts = vae.make(recipes.filled(vae.Config(**small), 1))
    state = jax.eval_shape(partial(steps.create_state, gan, opts), jax.random.key(0), batch)
    batches = jax.tree.map(lambda x: x[None], batch)
    step = partial(vae.train_step(None), gan, opts)
    after, figures = jax.eval_shape(step, state, batches)
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(lambda x: x.shape, state)
    assert set(figures) == {"d/loss", "g/loss", "g/reconstruction", "g/kl"}
    assert len(jax.tree.leaves(state.d.stats)) == 2  # of the one normalised layer


def test_several_batches_a_step_are_refused():
    batches = {"image": jnp.zeros((2, 3, 1)), "slot": jnp.zeros((2, 3), int)}
    sgd = optax.sgd(0.1)
    with pytest.raises(ValueError, match="n_critic = 2"):
        vae.train_step(None)(_game(), Optimizers(sgd, sgd), _state(), batches)
