from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import multiscale


def _size(shapes):
    return sum(x.size for x in jax.tree.leaves(shapes["params"]))


def test_the_published_network_has_so_many_weights():
    """Two scales, 35 labels and boundaries beside an image of three channels: 5.603 M, by hand."""
    maps, image = jnp.zeros((1, 64, 64, 2)), jnp.zeros((1, 64, 64, 3))
    net = multiscale.Discriminator(labels=35)
    widths = [39, 64, 128, 256, 512, 1]
    by_hand = sum(16 * a * b + b for a, b in pairwise(widths))
    assert _size(jax.eval_shape(lambda: net.init(jax.random.key(0), image, maps, train=True))) == 2 * by_hand
    # Beside spectral normalisation the inner layers have no bias.
    net = net.clone(norm="spectral")
    lean = 2 * (by_hand - 128 - 256 - 512)
    assert _size(jax.eval_shape(lambda: net.init(jax.random.key(0), image, maps, train=True))) == lean


def test_means_at_the_border_are_of_what_is_there():
    x = jax.random.normal(jax.random.key(0), (1, 6, 5, 1))
    found = multiscale.halved(x)
    assert found.shape == (1, 3, 3, 1)
    for i in range(3):
        for j in range(3):
            own = x[0, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
            np.testing.assert_allclose(found[0, i, j, 0], own.mean(), rtol=1e-5)


@pytest.fixture(scope="module")
def small():
    net = multiscale.Discriminator(width=4, layers=2, scales=range(3))
    x, image = jax.random.normal(jax.random.key(1), (2, 2, 32, 32, 1))
    variables = jax.jit(lambda: net.init(jax.random.key(0), x, image, train=True))()
    return net, variables, x, image


def test_each_scale_is_half_as_large(small):
    net, variables, x, image = small
    logits, said = net.apply(variables, x, image, train=True)
    assert [of.shape[1:] for of, _ in said] == [(11, 11), (7, 7), (5, 5)]
    assert [[m.shape[1] for m in maps] for _, maps in said] == [[17, 9, 10], [9, 5, 6], [5, 3, 4]]
    np.testing.assert_array_equal(logits, np.concatenate([of.reshape(2, -1) for of, _ in said], 1))


def test_later_scales_alone_take_what_is_half_as_large(small):
    """As the whole network's later scales, whose parameters they share, see it."""
    net, variables, x, image = small
    _, said = net.apply(variables, x, image, train=True)
    later = net.clone(scales=range(1, 3))
    _, found = later.apply(variables, multiscale.halved(x), image, train=True)
    assert len(found) == 2
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), said[1:], found)
