import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.nets import resnet


def _size(variables):
    return sum(np.prod(x.shape) for x in jax.tree.leaves(variables["params"]))


def test_the_papers_layers(key):
    z = jnp.zeros((2, 128))
    g = resnet.Generator()
    shapes = jax.eval_shape(lambda: g.init(key, z, train=True))
    conv = lambda size, c, o: size * size * c * o + o  # noqa: E731
    norm, block = 2 * 256, 2 * conv(3, 256, 256) + conv(1, 256, 256) + 2 * 2 * 256
    assert _size(shapes) == 129 * 16 * 256 + 3 * block + norm + conv(3, 256, 3)
    d = resnet.Discriminator()
    shapes = jax.eval_shape(lambda: d.init(key, jnp.zeros((2, 32, 32, 3)), train=True))
    first = conv(3, 3, 128) + conv(3, 128, 128) + conv(1, 3, 128)
    assert _size(shapes) == first + 6 * conv(3, 128, 128) + conv(1, 128, 128) + 129


def test_images_and_logits(key):
    g, d = resnet.Generator(width=4), resnet.Discriminator(width=4)
    z = jax.random.normal(key, (2, 8))
    images, _ = g.init_with_output(key, z, train=True)
    assert images.shape == (2, 32, 32, 3)
    assert np.abs(images).max() < 1
    variables = d.init(key, images, train=True)
    logits = d.apply(variables, images, train=False)
    assert logits.shape == (2,)
    # Every layer has norm 1 and blocks add two paths: D cannot be steep.
    slope = jax.grad(lambda x: d.apply(variables, x, train=False).sum())(images)
    assert np.isfinite(slope).all()
    assert len(jax.tree.leaves(variables["spectral"])) == 11
