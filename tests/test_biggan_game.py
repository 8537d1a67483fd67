"""The parts of BigGAN's experiment that are its own."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import biggan
from jaxgan import random, recipes, sampling
from jaxgan.config import InputError
from jaxgan.data import load
from jaxgan.kinds.images import images
from jaxgan.losses import penalties

CFG = biggan.Config(image_size=8, channels=1, n_classes=10, width=4, latent=4, shared=4, batch_size=8)
CFG = recipes.filled(CFG, 1797 * 64)


def test_the_regulariser_leaves_out_the_embedding_alone():
    gan, _ = biggan.make(CFG)
    batch = {"image": jnp.zeros((2, 8, 8, 1)), "label": jnp.zeros(2, int), "slot": jnp.arange(2)}
    params, _, _ = jax.eval_shape(gan.init, jax.random.key(0), batch)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.standard_normal(x.shape, np.float32), params["params"])
    value = lambda p: biggan.orthogonal(SimpleNamespace(params=p))  # noqa: E731
    slopes = jax.jit(jax.grad(value))(params)
    moved = jax.tree.map(lambda s: bool(np.any(s)), slopes)
    assert not moved.pop("embedding")["embedding"]
    told = {jax.tree_util.keystr(p): m for p, m in jax.tree_util.tree_leaves_with_path(moved)}
    kernels = {name for name in told if "kernel" in name}
    assert {name for name, m in told.items() if m} == kernels - {"['last']['kernel']"}  # one grey channel
    assert any("gain" in name for name in kernels)
    bare = {**params, "embedding": {"embedding": jnp.zeros((10, 4))}}
    assert float(value(params)) == pytest.approx(float(penalties.orthogonal(bare, weight=1.0)), rel=1e-6)


def test_the_regulariser_is_in_gs_loss(key):
    """Weighted by the config."""
    batch = {"image": jnp.zeros((4, 8, 8, 1)), "label": jnp.arange(4), "slot": jnp.arange(4)}
    cfg = replace(CFG, attention=0)
    state = sampling.initial_state(biggan.make, cfg, load("digits", image_size=8).example(8))
    params = jax.tree.map(lambda x: x + 0.1, state.g.params)
    value = float(penalties.orthogonal({k: w for k, w in params.items() if k != "embedding"}, weight=1.0))

    def figures(weight):
        gan, _ = biggan.make(replace(cfg, orthogonal=weight))
        loss, (_, told) = gan.g_loss(params, state, batch, key)
        return loss, told

    loss, told = jax.jit(figures)(1e3)
    assert float(told["orthogonal"]) == pytest.approx(1e3 * value, rel=1e-4)
    assert float(loss) == pytest.approx(1e3 * value, rel=0.1)
    assert jax.eval_shape(lambda: figures(0.0))[1] == {}
    assert value > 1


def test_it_asks_for_labels_where_it_is_given_them():
    data = load("digits", image_size=8)
    gan, opts = biggan.make(CFG)
    assert sampling.asked_of(gan, images, data)["label"].tolist() == list(range(10))
    assert CFG.n_critic == 2
    assert biggan.make(replace(CFG, n_classes=0, hierarchical=False))[0].condition is None
    assert "n_classes" not in images.load(replace(CFG, n_classes=0), None).facts
    assert images.load(replace(CFG, n_classes=None), None).facts["n_classes"] == 10
    with pytest.raises(InputError, match="g_lr depends on the size of the data"):
        biggan.make(replace(CFG, g_lr=None))


def test_its_latent_is_normal_and_truncated_by_redrawing(key):
    latent = biggan.make(replace(CFG, latent=60))[0].latent
    slot = jnp.arange(200)
    z, cut = latent(key, slot), random.truncated(latent, key, slot, 0.5)
    assert float(z.std()) == pytest.approx(1, abs=0.03)
    assert float(jnp.abs(cut).max()) < 0.5
    inside = jnp.abs(z) < 0.5
    np.testing.assert_array_equal(cut[inside], z[inside])  # kept, and not scaled or cut off
    assert float(cut.std()) == pytest.approx(0.2837, abs=0.01)  # of N(0, 1) in |z| < 0.5
