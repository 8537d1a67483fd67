"""Running, standing and each batch's statistics of batch normalisation."""

from functools import partial
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan import kinds, random, sampling
from jaxgan.config import InputError
from jaxgan.losses.adversarial import hinge
from jaxgan.nets import mlp
from jaxgan.standing import standing_statistics
from jaxgan.two_player import two_player

MIX, SHIFT = np.array([[2.0, 0.0], [1.0, 3.0]], np.float32), np.array([5.0, -4.0], np.float32)


class Affine(nn.Module):
    """z [B, 2], label -> MIX'z + SHIFT + 10 label, normalised twice, by layers of two momenta."""

    @nn.compact
    def __call__(self, z, label=None, *, train: bool):
        x = z @ MIX + SHIFT.reshape(1, 2) + (0.0 if label is None else 10.0 * label.reshape(-1, 1))
        for momentum in (0.97, 0.5):
            x = nn.BatchNorm(not train, momentum=momentum)(x)
        return x


class Blind(nn.Module):
    @nn.compact
    def __call__(self, x, label=None):
        return nn.Dense(1)(x)[:, 0]


def _game(**options):
    parts = Affine(), Blind()
    return two_player(*parts, loss=hinge, latent=partial(random.normal, shape=(2,)), **options)


def _variables(mean=0.0, var=1.0):
    each = {"mean": jnp.full(2, mean), "var": jnp.full(2, var)}
    params = {"scale": jnp.ones(2), "bias": jnp.zeros(2)}
    names = "BatchNorm_0", "BatchNorm_1"
    return {"params": dict.fromkeys(names, params), "batch_stats": dict.fromkeys(names, each)}


def _found(*args, **options):
    found = standing_statistics(*args, **options)["batch_stats"]
    return [found["BatchNorm_0"][name] for name in ("mean", "var")]


def test_they_are_those_of_what_is_normalised(key):
    """x is normal, of mean SHIFT and covariance MIX'MIX, and a batch of n has of its variance 1 - 1 / n."""
    variables, n = _variables(), 100 * 16
    mean, var = _found(_game(), variables, key, batch_size=16)
    true = (MIX**2).sum(0)
    assert np.all(np.abs(mean - SHIFT) < 4 * np.sqrt(true / n))
    assert np.all(np.abs(var - true * 15 / 16) < 4 * true * np.sqrt(2 / n))
    stale = variables["batch_stats"]["BatchNorm_0"]  # the control: as training left them
    assert np.all(np.abs(stale["mean"] - SHIFT) > 3)
    few, _ = _found(_game(), variables, key, passes=2, batch_size=16)
    assert np.all(np.abs(few - mean) > 1e-3)


def test_they_are_the_batches_means_to_rounding(key):
    game = _game()
    x = np.asarray(game.latent(key, jnp.arange(24)) @ MIX) + SHIFT
    batches = x.reshape(3, 8, 2)
    found = standing_statistics(game, _variables(), key, passes=3, batch_size=8)["batch_stats"]
    first, second = found["BatchNorm_0"], found["BatchNorm_1"]
    np.testing.assert_allclose(first["mean"], batches.mean((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(first["var"], batches.var(1).mean(0), rtol=1e-4)
    np.testing.assert_allclose(second["mean"], 0, atol=1e-5)  # each batch by its own of the layer before
    np.testing.assert_allclose(second["var"], 1, rtol=1e-4)


def test_the_running_ones_have_no_part_in_them(key):
    one, other = (_found(_game(), _variables(*s), key, passes=5) for s in ((0.0, 1.0), (-70.0, 9.0)))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_they_are_of_the_truncated_latents_and_of_what_is_asked_for(key):
    whole, cut = (_found(_game(), _variables(), key, batch_size=16, psi=psi)[1] for psi in (None, 0.5))
    share = (
        1 - 0.5 * 2 * np.exp(-0.125) / np.sqrt(2 * np.pi) / 0.3829249
    )  # the variance of N(0, 1) in |z| < 0.5
    np.testing.assert_allclose(cut / whole, share, rtol=0.12)
    label = jnp.tile(jnp.array([0, 1, 1, 2]), 160)
    asked, plain = (
        _found(_game(**o), _variables(), key, c, passes=40, batch_size=16)
        for o, c in (({"condition": "label"}, label), ({}, None))
    )
    np.testing.assert_allclose(asked[0], plain[0] + 10.0, rtol=1e-4)
    assert np.all(asked[1] > plain[1] + 30)  # 10^2 times the labels' variance of a half


def _generator(game, variables, asked=None):
    config = SimpleNamespace(batch_size=8)
    return sampling.Generator(game, variables, config, kinds.default, {}, asked, 0, True)


def test_a_generator_by_each(key):
    running = _generator(_game(), _variables(1.0, 4.0))
    assert running.by_statistics("running", key) is running
    standing = running.by_statistics("standing", key, passes=200)
    batch = running.by_statistics("batch", key)
    assert [g.batch_norm for g in (running, standing, batch)] == [
        "running statistics",
        "standing statistics of 200 batches of 8",
        "statistics of each 64",
    ]
    many = {name: g.sample(key, 100) for name, g in zip("rsb", (running, standing, batch), strict=True)}
    np.testing.assert_allclose(many["b"][:64].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(many["b"][:64].var(0), 1, rtol=1e-4)
    np.testing.assert_allclose(many["s"].mean(0), 0, atol=0.3)
    # The control: ((SHIFT - 1) / 2 - 1) / 2, which is not 0.
    np.testing.assert_allclose(many["r"].mean(0), [0.5, -1.75], atol=0.3)
    for name, g, alone in (("r", running, True), ("s", standing, True), ("b", batch, False)):
        assert np.allclose(g.sample(key, 3), many[name][:3], atol=1e-5) == alone


def test_labels_are_drawn_from_what_a_generator_is_asked_for(key):
    asked = {"label": np.arange(4, dtype=np.int32)}
    standing = _generator(_game(condition="label"), _variables(), asked).by_statistics("standing", key)
    mean = standing.variables["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, SHIFT + 15.0, atol=4 * np.sqrt((125 + 10) / 800))


def test_a_generator_without_any_is_told(key):
    latent = partial(random.normal, shape=(2,))
    game = two_player(mlp.Generator((2,), (4,), None), mlp.Discriminator((4,)), loss=hinge, latent=latent)
    for which in ("standing", "batch"):
        with pytest.raises(InputError, match=f"keeps no statistics of batches, and so has no {which} ones"):
            _generator(game, {"params": {}}).by_statistics(which, key)
