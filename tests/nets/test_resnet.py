from functools import partial

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
    images, _ = jax.jit(partial(g.init_with_output, train=True))(key, z)
    assert images.shape == (2, 32, 32, 3)
    assert np.abs(images).max() < 1
    variables = jax.jit(partial(d.init, train=True))(key, images)
    total = jax.jit(jax.value_and_grad(lambda x: d.apply(variables, x, train=False).sum()))
    assert np.isfinite(total(images)[1]).all()
    assert jax.eval_shape(partial(d.apply, train=False), variables, images).shape == (2,)
    assert len(jax.tree.leaves(variables["spectral"])) == 11
