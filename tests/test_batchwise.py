"""What a batch does as a whole: random layers, what is carried through microbatches, and batch normalisation
under a penalty of an example's own."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import dynamics, random, steps, terms
from jaxgan.game import Optimizers
from jaxgan.losses import penalties
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import mlp
from jaxgan.nn.minibatch import MinibatchStd
from jaxgan.nn.spectral import SpectralDense
from jaxgan.terms import Term, penalty
from jaxgan.two_player import two_player

B = 8
SGD = Optimizers(optax.sgd(0.1), optax.sgd(0.1), 0.5)
BATCH = {"image": jnp.sin(jnp.arange(B * 16.0)).reshape(B, 4, 4, 1), "slot": jnp.arange(B)}
STACK = jax.tree.map(lambda x: x[None], BATCH)
LATENT = partial(random.normal, shape=(4,))


class _Drawing(nn.Module):
    """An MLP whose output bears masks and noise: two names of random numbers."""

    out: int

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Dense(16)(x.reshape(len(x), -1))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        if train:
            x = x + jax.random.normal(self.make_rng("noise"), x.shape)
        return nn.Dense(self.out)(x).reshape(len(x), *((4, 4, 1) if self.out == 16 else ()))


class _Mask(nn.Module):
    """A discriminator that says the mask that it draws."""

    @nn.compact
    def __call__(self, x, *, train):
        drawn = nn.Dropout(0.5, deterministic=not train)(jnp.ones((len(x), 32)))
        return nn.Dense(1)(x.reshape(len(x), -1))[:, 0], drawn


def _masks(state, key, batch=BATCH):
    """The masks of D's real pass, of its fake one, and of its penalties' (twice), in D's step."""
    seen = {}

    def keep(s):
        seen.update(real=s.of_real, fake=s.of_fake)
        return s.real_logits

    gan = two_player(mlp.Generator((4, 4, 1), (8,), None), _Mask(), loss=non_saturating, latent=LATENT,
                     d_terms={"keep": keep})  # fmt: skip
    state = steps.create_state(gan, SGD, jax.random.key(0), BATCH) if state is None else state
    gan.d_loss(state.d.params, state, batch, key)
    return state, np.asarray(seen["real"]), np.asarray(seen["fake"])


def test_random_layers_draw_anew_in_each_pass_update_and_microbatch():
    state, real, fake = _masks(None, jax.random.key(1))
    _, again, _ = _masks(state, jax.random.key(1))
    _, later, _ = _masks(state, jax.random.key(2))
    half = jax.tree.map(lambda x: x[B // 2 :], BATCH)
    _, part, _ = _masks(state, jax.random.key(1), half)
    np.testing.assert_array_equal(real, again)  # a function of the key
    for other in (fake, later):
        assert 0.3 < (real != other).mean() < 0.7
    assert 0.3 < (part != real[: B // 2]).mean() < 0.7  # else all microbatches and shards had one mask
    assert set(np.unique(real)) == {0, 2}


def test_a_game_with_random_layers_is_a_function_of_key_and_step():
    """It trains in a scan, the same in one chunk and in two; its samples draw nothing."""
    plain = two_player(_Drawing(16), _Drawing(1), loss=non_saturating, latent=LATENT,
                       d_terms={"r1": penalty(penalties.r1)})  # fmt: skip
    gan = dynamics.unrolled(plain, SGD, 1)
    step = partial(steps.train_step, gan, SGD)
    chunk = jax.jit(lambda s, n: steps.train_chunk(step, lambda _: STACK, s, n), static_argnums=1)
    state = steps.create_state(gan, SGD, jax.random.key(0), BATCH)
    whole, figures = chunk(state, 2)
    first, _ = chunk(state, 1)
    second, _ = chunk(first, 1)
    jax.tree.map(np.testing.assert_array_equal, second.g.params, whole.g.params)
    assert np.isfinite(figures["g/loss"]).all()
    z = LATENT(jax.random.key(3), jnp.arange(3))
    np.testing.assert_array_equal(*[gan.sample(whole.g.averaged, z) for _ in range(2)])
    # The gradient is of the mask that the loss has.
    loss = jax.jit(lambda p: plain.d_loss(p, state, BATCH, jax.random.key(5))[0])
    slope = jax.grad(loss)(state.d.params)["Dense_1"]["kernel"]

    def moved(h):
        last = state.d.params["Dense_1"]
        return loss(state.d.params | {"Dense_1": {**last, "kernel": last["kernel"] + h * slope}})

    np.testing.assert_allclose((moved(1e-2) - moved(-1e-2)) / 2e-2, (slope**2).sum(), rtol=1e-2)


class _Normed(nn.Module):
    """A discriminator with batch normalisation, its momentum high."""

    @nn.compact
    def __call__(self, x, *, train):
        x = SpectralDense(8)(x.reshape(len(x), -1))
        return nn.Dense(1)(nn.BatchNorm(not train, momentum=0.5)(x))[:, 0]


class _Spectral(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return SpectralDense(1)(nn.tanh(SpectralDense(8)(x.reshape(len(x), -1))))[:, 0]


def _after(d, accumulate, d_terms):
    gan = two_player(
        mlp.Generator((4, 4, 1), (8,), None), d, loss=non_saturating, latent=LATENT, d_terms=d_terms
    )
    state = steps.create_state(gan, SGD, jax.random.key(0), BATCH)
    step = jax.jit(partial(steps.d_step, gan, SGD, accumulate=accumulate))
    return step(state, BATCH)


def test_what_is_carried_moves_once_a_step_whatever_the_microbatches():
    count = Term(lambda s, n: 0 * s.real_logits, start=jnp.int32(0), carry=lambda s, n: n + 1)
    carried = {"lecam": terms.lecam(0.3), "count": count}
    (whole, figures), (parts, of_parts) = (_after(_Spectral(), n, carried) for n in (1, 4))
    assert float(jnp.abs(whole.extra["lecam"]).min()) > 1e-5
    np.testing.assert_allclose(parts.extra["lecam"], whole.extra["lecam"], rtol=1e-5, atol=1e-7)
    assert int(parts.extra["count"]) == int(whole.extra["count"]) == 1
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), parts.d.stats, whole.d.stats)
    # All microbatches see one D, so that their gradients add up to the batch's.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), parts.d.params, whole.d.params)
    np.testing.assert_allclose(of_parts["d/lecam"], figures["d/lecam"], rtol=1e-4)


def test_running_means_are_of_the_whole_batch():
    (whole, _), (parts, _) = (_after(_Normed(), n, {}) for n in (1, 4))
    means = [s.d.stats["batch_stats"]["BatchNorm_0"] for s in (whole, parts)]
    np.testing.assert_allclose(means[0]["mean"], means[1]["mean"], rtol=1e-4, atol=1e-5)
    assert (
        means[1]["var"] < means[0]["var"] + 1e-6
    ).all()  # what the microbatches' means differ by is left out


def _own_and_shared(d):
    """The mean squared slope of each example's own logit in it, and of the sum of all logits."""
    x = BATCH["image"]
    variables = d.init(jax.random.key(0), x, train=True)
    critic = lambda x: d.apply(variables, x, train=True, mutable=["batch_stats", "spectral"])[0]  # noqa: E731
    jacobian = jax.jacrev(critic)(x).reshape(B, B, -1)
    own = jnp.square(jacobian[jnp.arange(B), jnp.arange(B)]).sum(1).mean()
    return float(own), float(penalties.squared_gradient(critic, x).mean())


class _Std(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(1)(MinibatchStd()(x).reshape(len(x), -1))[:, 0]


def test_the_sums_gradient_is_no_examples_own_under_batch_norm():
    """An example's own, in its own logit, is another than the sum's; without batch norm they are one."""
    own, shared = _own_and_shared(_Normed())
    assert abs(own - shared) > 0.2 * own
    own, shared = _own_and_shared(_Spectral())
    assert own == pytest.approx(shared, rel=1e-5)
    own, shared = _own_and_shared(
        _Std()
    )  # as the docstring of `penalty` says of layers that compare examples
    assert own != pytest.approx(shared, rel=1e-5)


class _Linens(nn.Module):
    """linen's own spectral norm also keeps `batch_stats`, and no batch's."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.SpectralNorm(nn.Dense(1))(x.reshape(len(x), -1), update_stats=train)[:, 0]


def _said(d, **options):
    gan = two_player(mlp.Generator((4, 4, 1), (8,), None), d, loss=non_saturating, latent=LATENT, **options)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        state = jax.eval_shape(partial(steps.create_state, gan, SGD), jax.random.key(0), BATCH)
        jax.eval_shape(partial(steps.train_step, gan, SGD), state, STACK)
    return [str(w.message) for w in said]


SLOPES = [penalties.gradient_penalty, penalties.dragan, penalties.r1, penalties.r2, penalties.zero_centred]
LEVELS = [
    penalties.drift,
    partial(penalties.consistency, augment=lambda key, x, slot: x + 0.1, weight_fake=1.0),
]


@pytest.mark.parametrize("of", SLOPES)
def test_a_slope_under_batch_norm_is_warned_of(of):
    (line,) = set(_said(_Normed(), d_terms={"slope": penalty(of, every=2)}))
    assert "batch normalisation" in line
    assert "norm='none'" in line
    assert "\n" not in line
    assert _said(_Spectral(), d_terms={"slope": penalty(of)}) == []


def test_what_is_right_is_not_warned_of():
    for of in LEVELS:  # they take no slope
        assert _said(_Normed(), d_terms={"level": penalty(of)}) == []
    own = lambda s: jax.grad(lambda x: s.critic(x).sum())(s.real).mean((1, 2, 3))  # noqa: E731
    assert _said(_Normed(), d_terms={"own": own})  # a term of one's own is seen too
    assert _said(_Normed(), d_terms={"lecam": terms.lecam(0.3)}) == []
    assert _said(_Linens(), d_terms={"r1": penalty(penalties.r1)}) == []
