"""AnoGAN's search and scores: by hand, of each query alone, and the same in any company."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan import anomaly, random, standing
from jaxgan.config import InputError
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan
from jaxgan.nn.minibatch import MinibatchStd
from jaxgan.two_player import two_player

STEPS = 12


class Features(nn.Module):
    """As a head: what D's last layer would be given."""

    @nn.compact
    def __call__(self, x, label=None):
        return x


@pytest.fixture(scope="module")
def game():
    """A small DCGAN with statistics of batch normalisation other than at the start, and its search."""
    g, d = dcgan.Generator(width=4, image_size=8), dcgan.Discriminator(width=4)
    gan = two_player(g, d, loss=non_saturating, latent=partial(random.normal, shape=(4,)))
    batch = {"image": jnp.zeros((2, 8, 8, 1)), "slot": jnp.arange(2)}
    variables = jax.jit(gan.init)(jax.random.key(0), batch)[:2]
    flat, tree = jax.tree.flatten(variables)
    drawn = [0.5 * random.normal(jax.random.key(i), jnp.arange(x.size)) for i, x in enumerate(flat)]
    moved = [x + 0.3 * jnp.abs(m.reshape(x.shape)) for x, m in zip(flat, drawn, strict=True)]
    return gan, *jax.tree.unflatten(tree, moved)


@pytest.fixture(scope="module")
def queries():
    """Ten images of noise, uint8[10, 8, 8, 1]."""
    return np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def examine(game):
    gan, g, d = game
    return partial(jax.jit(partial(anomaly.search, gan, steps=STEPS, rate=0.05)), g, d)


@pytest.fixture(scope="module")
def found(examine, queries):
    return anomaly.examined(examine, queries, jax.random.key(1))


def test_the_score_is_the_loss_by_hand(game, queries, found):
    """Of what was found; D's features as a D without its last layer makes them."""
    _, _, d = game
    trunk = dcgan.Discriminator(width=4, head=Features())
    params = {k: v for k, v in d["params"].items() if k != "Dense_0"}
    x, made = queries / 127.5 - 1, found.reconstruction
    of = [trunk.apply({**d, "params": params}, jnp.float32(v), train=False) for v in (x, made)]
    residual = np.abs(x - made).sum((1, 2, 3))
    features = np.abs(of[0] - of[1]).sum(1)
    assert features.min() > 0
    np.testing.assert_allclose(found.residual, residual, rtol=1e-5)
    np.testing.assert_allclose(found.features, features, rtol=1e-4)
    np.testing.assert_allclose(found.score, 0.9 * residual + 0.1 * features, rtol=1e-5)


def test_the_search_goes_down_from_a_latent_of_the_slot(game, queries):
    """One step of Adam moves each number by the rate, against the slope."""
    gan, g, d = game
    x, slot, key = jnp.float32(queries[:2] / 127.5 - 1), jnp.array([5, 9]), jax.random.key(1)
    start = gan.latent(random.fold(key, "search"), slot)
    by = partial(anomaly.search, gan, g, d, x, key, slot, rate=0.01)
    at_start, one = (jax.jit(partial(by, steps=n))() for n in (0, 1))
    np.testing.assert_allclose(at_start.reconstruction, gan.sample(g, start), atol=1e-6)

    def loss(z):
        made = gan.sample(g, z)
        of = partial(anomaly.features, partial(gan.critic, d))
        return (0.9 * jnp.abs(x - made).sum((1, 2, 3)) + 0.1 * jnp.abs(of(x) - of(made)).sum(1)).sum()

    moved = start - 0.01 * jnp.sign(jax.jit(jax.grad(loss))(start))
    np.testing.assert_allclose(one.reconstruction, gan.sample(g, moved), atol=1e-5)
    assert (np.asarray(one.score) < np.asarray(at_start.score)).all()


def test_what_the_generator_makes_is_found_and_noise_is_not(game, queries, found):
    """With more steps."""
    gan, g, d = game
    own = np.asarray(gan.sample(g, gan.latent(jax.random.key(8), jnp.arange(10))))
    own = np.clip(np.rint((own + 1) * 127.5), 0, 255).astype(np.uint8)
    longer = partial(jax.jit(partial(anomaly.search, gan, steps=150, rate=0.05)), g, d)
    near = anomaly.examined(longer, own, jax.random.key(1)).score
    assert np.median(near) < 0.2 * found.score.min()


def test_a_score_does_not_depend_on_the_others_of_its_batch(game, examine, queries, found):
    """Bit for bit, in any order, alone and in a longer list; and it does where G or D has the batch's own
    statistics, the control."""
    key = jax.random.key(1)
    alone = anomaly.examined(examine, queries[3:4], key)
    others = anomaly.examined(
        examine, np.concatenate([255 - np.tile(queries, (7, 1, 1, 1)), queries[:4]]), key
    )
    backwards = anomaly.examined(examine, queries[::-1], key)
    for name in anomaly.Examined._fields:
        expected = getattr(found, name)
        np.testing.assert_array_equal(getattr(alone, name)[0], expected[3])
        np.testing.assert_array_equal(getattr(others, name)[-4:], expected[:4])
        np.testing.assert_array_equal(getattr(backwards, name)[::-1], expected)
    gan, g, d = game
    by_batch = gan._replace(sample=standing.batchwise(gan))
    control = partial(jax.jit(partial(anomaly.search, by_batch, steps=1)), g, d)
    alone, all_of = (anomaly.examined(control, x, key).score for x in (queries[3:4], queries))
    assert abs(alone[0] - all_of[3]) > 1e-3 * all_of[3]


class Comparing(nn.Module):
    """A D that compares a batch."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        return nn.Dense(1)(MinibatchStd(10)(x).reshape(len(x), -1))[:, 0]


def test_features_are_a_querys_own_where_d_compares_a_batch(queries):
    net, x = Comparing(), jnp.float32(queries / 127.5 - 1)
    variables = net.init(jax.random.key(0), x, train=False)
    critic = lambda x: net.apply(variables, x, train=False)  # noqa: E731
    of = anomaly.features(critic, x)
    np.testing.assert_array_equal(of[:3], anomaly.features(critic, x[:3]))
    assert of.shape == (10, 8 * 8 * 2)
    assert not np.allclose(critic(x)[:3], critic(x[:3]))


def test_a_d_without_weights_has_no_features(queries):
    class Mean(nn.Module):
        def __call__(self, x):
            return x.mean((1, 2, 3))

    with pytest.raises(InputError, match="no layer of weights"):
        anomaly.features(lambda x: Mean().apply({}, x), jnp.float32(queries))


def test_izi_by_hand():
    x, made = jnp.array([[[1.0, 2.0]], [[0.0, 0.0]]]), jnp.array([[[0.0, 2.0]], [[3.0, 4.0]]])
    found = anomaly.izi(
        x, made, jnp.array([[1.0, 0.0], [2.0, 1.0]]), jnp.array([[3.0, 2.0], [2.0, 1.0]]), 0.5
    )
    np.testing.assert_allclose(found.residual, [0.5, 12.5])
    np.testing.assert_allclose(found.features, [4, 0])
    np.testing.assert_allclose(found.score, [2.5, 12.5])


def test_the_control_is_the_generator_before_its_first_step(game, queries):
    gan, g, d = game
    key = jax.random.key(0)
    batch = {"image": jnp.zeros((10, 8, 8, 1)), "slot": jnp.arange(10)}
    start = jax.jit(gan.init)(random.fold(key, "init"), batch)[0]
    told = lambda g, d, x, key, slot: (g, d)  # noqa: E731
    examine = anomaly.controlled(gan, told, key)
    for untrained, expected in ((True, start), (False, g)):
        seen = examine(g, d, batch["image"], None, batch["slot"], jnp.bool_(untrained))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), seen, (expected, d))
    assert not np.allclose(start["params"]["Dense_0"]["kernel"], g["params"]["Dense_0"]["kernel"])


def test_a_slot_is_of_the_images_own_pixels(queries):
    own = anomaly.slots(queries)
    assert own.dtype == np.int32
    assert own.min() >= 0
    assert len(set(own)) == 10
    np.testing.assert_array_equal(anomaly.slots(queries[::-1]), own[::-1])
    changed = queries.copy()
    changed[0, 0, 0, 0] ^= 1
    assert anomaly.slots(changed)[0] != own[0]
