"""Losses over the scales of a discriminator, matching of its features, and a generator with an encoder."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan import random, steps
from jaxgan.config import InputError
from jaxgan.game import Optimizers
from jaxgan.losses.adversarial import hinge, least_squares
from jaxgan.terms import Term, feature_matching, over_scales
from jaxgan.two_player import two_player

LATENT = partial(random.normal, shape=(3,))


class _Pyramid(nn.Module):
    """Two scales of data [B, 4], with maps; scale 1 sees the sum of pairs."""

    @nn.compact
    def __call__(self, x):
        said = []
        for scale in range(2):
            inner = nn.Dense(2, name=f"inner_{scale}")(x)
            said.append(
                (nn.Dense(3 - scale, name=f"logits_{scale}")(jnp.tanh(inner)), (inner, jnp.tanh(inner)))
            )
            x = x.reshape(len(x), -1, 2).sum(-1)
        return jnp.concatenate([of for of, _ in said], -1), tuple(said)


class _Coder(nn.Module):
    """Data [B, 4] of z [B, 3], drawn in training around what the real data say; tells that."""

    @nn.compact
    def __call__(self, z, real=None, *, train: bool):
        code = None if real is None else nn.Dense(3, name="encoder")(real)
        z = z if real is None else z + code
        made = nn.Dense(4, name="decoder")(z)
        return made if real is None else (made, code)


def _game(g_terms=None, loss=None, generator=None):
    batch = {"x": jax.random.normal(jax.random.key(1), (5, 4)), "slot": jnp.arange(5)}
    g = generator or nn.Dense(4)
    terms = {"g_terms": g_terms or {}}
    gan = two_player(g, _Pyramid(), loss=loss or over_scales(hinge), latent=LATENT, of="x", **terms)
    opts = Optimizers(optax.sgd(0.1), optax.sgd(0.1))
    return gan, steps.create_state(gan, opts, jax.random.key(0), batch), batch, opts


def _parts(gan, state, batch, key):
    fake = gan.sample(state.g.variables, gan.latent(random.fold(key, "latent"), batch["slot"]))
    call = lambda x: _Pyramid().apply(state.d.variables, x)[1]  # noqa: E731
    return call(batch["x"]), call(fake)


@pytest.mark.parametrize("loss", [hinge, least_squares], ids=["hinge", "least_squares"])
def test_each_scale_has_its_own_mean(loss, key):
    """Of scales with three logits and two, which the mean over all five would weigh otherwise."""
    gan, state, batch, _ = _game(loss=over_scales(loss))
    real, fake = _parts(gan, state, batch, key)
    for who, of, player in (("d", gan.d_loss, state.d), ("g", gan.g_loss, state.g)):
        part = getattr(loss, who)
        each = [part(r, f).mean() for (r, _), (f, _) in zip(real, fake, strict=True)]
        total, _ = of(player.params, state, batch, key)
        np.testing.assert_allclose(total, np.mean(each), rtol=1e-5)
        together = part(*(jnp.concatenate([x for x, _ in side], -1) for side in (real, fake))).mean()
        assert abs(total - together) > 1e-4
    assert over_scales(loss).chance == loss.chance


def test_features_are_matched_map_by_map(key):
    gan, state, batch, _ = _game({"matching": Term(feature_matching, 7.0)})
    real, fake = _parts(gan, state, batch, key)
    sides = [(x, y) for (_, x), (_, y) in zip(real, fake, strict=True)]
    each = [sum(np.abs(a - b).mean() for a, b in zip(x, y, strict=True)) for x, y in sides]
    _, (_, figures) = gan.g_loss(state.g.params, state, batch, key)
    np.testing.assert_allclose(figures["matching"], 7 * np.mean(each), rtol=1e-5)


def test_matching_is_gs_alone_and_does_not_train_d(key):
    """With and without it D moves by the same bits; as a term of D it is refused."""
    after = []
    for weight in (0.0, 50.0):
        gan, state, batch, opts = _game({"matching": Term(feature_matching, weight)})
        step = jax.jit(partial(steps.train_step, gan, opts))
        after.append(step(state, jax.tree.map(lambda x: x[None], batch))[0])
    jax.tree.map(np.testing.assert_array_equal, *(s.d.params for s in after))
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), *(s.g.params for s in after))
    assert min(jax.tree.leaves(moved)) > 1e-4
    gan = two_player(
        nn.Dense(4), _Pyramid(), loss=over_scales(hinge), latent=LATENT, of="x",
        d_terms={"matching": feature_matching},
    )  # fmt: skip
    with pytest.raises(InputError, match="of G alone is one of g_terms"):
        gan.d_loss(state.d.params, state, batch, key)


def test_the_real_features_stand_still(key):
    """The gradient in G's parameters is that of the distance to constants, though D sees both."""
    gan, state, batch, _ = _game({"matching": Term(feature_matching, 1.0)})
    real, _ = _parts(gan, state, batch, key)
    z = gan.latent(random.fold(key, "latent"), batch["slot"])

    def apart(params):
        _, said = _Pyramid().apply(state.d.variables, gan.sample({"params": params}, z))
        pairs = [
            sum(jnp.abs(a - b).mean() for a, b in zip(x, y, strict=True))
            for (_, x), (_, y) in zip(real, said, strict=True)
        ]
        adversarial = [hinge.g(f, f).mean() for f, _ in said]
        return sum(pairs) / 2 + sum(adversarial) / 2

    found = jax.grad(gan.g_loss, has_aux=True)(state.g.params, state, batch, key)[0]
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, jax.grad(apart)(state.g.params)
    )


def test_a_generator_with_an_encoder_sees_the_real_data_in_training_alone(key):
    seen = {}

    def of(said):
        seen["code"] = said.of_g
        return jnp.square(said.of_g).sum(-1)

    gan, state, batch, _ = _game({"code": of}, generator=_Coder())
    assert set(state.g.params) == {"encoder", "decoder"}
    _, (_, figures) = gan.g_loss(state.g.params, state, batch, key)
    code = nn.Dense(3).apply({"params": state.g.params["encoder"]}, batch["x"])
    np.testing.assert_allclose(figures["code"], jnp.square(code).sum(-1).mean(), rtol=1e-5)
    # The fakes that D judges are made from the codes too; samples are not.
    other = batch | {"x": -batch["x"]}
    grads = [
        jax.grad(gan.g_loss, has_aux=True)(state.g.params, state, b, key)[0]["encoder"]
        for b in (batch, other)
    ]
    assert np.abs(grads[0]["kernel"] - grads[1]["kernel"]).max() > 1e-3
    z = gan.latent(key, batch["slot"])
    decoded = nn.Dense(4).apply({"params": state.g.params["decoder"]}, z)
    np.testing.assert_array_equal(gan.sample(state.g.variables, z), decoded)
