import jax
import jax.numpy as jnp
import pytest

from jaxgan.nets.mlp import Discriminator, Generator

SHAPE = (28, 28, 1)
TEN = (128, 256, 512, 1024, 1024, 512, 256, 128, 64, 32)


def _count(net, *inputs):
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), *inputs, train=True))
    return sum(x.size for x in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (Generator(SHAPE), 1_489_936),  # dense, LeakyReLU, batch norm with momentum 0.8
        (Generator(SHAPE, (256, 512), None), 559_632),
        # 2,451,841 with one output; 32 * 784 + 784 in place of 32 + 1 makes an image of it
        (Generator(SHAPE, TEN, None), 2_451_841 - 33 + 33 * 784),
    ],
)
def test_generators_have_the_published_listings_sizes(net, count):
    assert _count(net, jnp.zeros((2, 100))) == count


def test_discriminator_size():
    assert _count(Discriminator(), jnp.zeros((2, *SHAPE))) == 533_505


def test_shapes_ranges_and_modes(key):
    net = Generator(SHAPE, (16,))
    z = 100 * jax.random.normal(key, (5, 3))
    variables = net.init(key, z, train=True)
    images, new = net.apply(variables, z, train=True, mutable=["batch_stats"])
    assert images.shape == (5, *SHAPE)
    assert float(jnp.abs(images).max()) <= 1
    before, after = (jax.tree.leaves(v["batch_stats"])[0] for v in (variables, new))
    assert not jnp.array_equal(before, after)
    assert not jnp.allclose(images, net.apply(variables, z, train=False))
    d = Discriminator((8,))
    assert d.apply(d.init(key, images, train=True), images, train=True).shape == (5,)


def test_norm_momentum_is_the_share_that_is_kept(key):
    """Keras's and flax's convention: new = 0.8 old + 0.2 batch."""
    net = Generator(SHAPE, (16,), 0.8)
    z = jax.random.normal(key, (64, 3))
    variables = net.init(key, z, train=True)
    _, new = net.apply(variables, z, train=True, mutable=["batch_stats"])
    x = z @ variables["params"]["Dense_0"]["kernel"]
    mean = jax.nn.leaky_relu(x, 0.2).mean(0)
    assert jnp.allclose(new["batch_stats"]["BatchNorm_0"]["mean"], 0.2 * mean, atol=1e-5)
