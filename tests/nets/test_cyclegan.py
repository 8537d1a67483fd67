import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan.nets import cyclegan
from jaxgan.nn.conv import Conv, ConvTranspose


def test_the_published_networks_have_so_many_weights():
    """The counts that the authors' code prints: 11.378 M with nine blocks, 7.838 M with six."""
    for blocks, n in ((9, 11_378_179), (6, 7_837_699)):
        net = cyclegan.Generator(blocks=blocks)
        shapes = jax.eval_shape(lambda net=net: net.init(jax.random.key(0), jnp.zeros((1, 256, 256, 3))))
        assert sum(x.size for x in jax.tree.leaves(shapes)) == n


def test_reflection_by_hand():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    found = np.asarray(cyclegan.reflected(x, 3))
    naive = np.zeros((2, 11, 12, 3), np.float32)
    for i in range(11):
        for j in range(12):
            row, column = abs(i - 3), abs(j - 3)
            row = row if row < 5 else 8 - row
            column = column if column < 6 else 10 - column
            naive[:, i, j] = x[:, row, column]
    np.testing.assert_array_equal(found, naive)


def test_images_of_any_size_and_an_examples_answer_is_its_own():
    net = cyclegan.Generator(width=4, blocks=1, channels=1)
    x = jax.random.normal(jax.random.key(1), (3, 12, 16, 1))
    variables = jax.jit(net.init)(jax.random.key(0), x)
    call = jax.jit(net.apply)
    made = call(variables, x)
    assert made.shape == (3, 12, 16, 1)
    assert np.abs(made).max() < 1
    np.testing.assert_allclose(call(variables, x[1:2])[0], made[1], atol=1e-6)
    with pytest.raises(ValueError, match="sides that are multiples of 4, not 10x16"):
        net.init(jax.random.key(0), x[:, :10])


class _Strided(nn.Module):
    """One convolution of the network's, of stride 2."""

    kind: type

    @nn.compact
    def __call__(self, x):
        return cyclegan._conv(x, 1, 3, 2, self.kind)


def test_strided_convolutions_lie_as_the_authors_do():
    """Halved: y[i] has x[2i - 1], x[2i], x[2i + 1]; doubled: y[2i - 1], y[2i], y[2i + 1] have x[i]."""
    kernel = jnp.asarray([1.0, 10.0, 100.0])
    square = (kernel[:, None] * kernel[None])[..., None, None]
    line = jnp.asarray([1.0, 2.0, 3.0, 4.0])
    x = (line[:, None] * jnp.ones(4)[None])[None, ..., None]
    variables = {"params": {"Conv_0": {"kernel": square, "bias": jnp.zeros(1)}}}
    down = _Strided(Conv).apply(variables, x)
    assert down.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(down[0, :, 0, 0] / 110, [10 * 1 + 100 * 2, 2 + 10 * 3 + 100 * 4])
    # As PyTorch has it a kernel's entry k goes to the output 2i + k - 1; linen keeps it turned around.
    variables = {"params": {"ConvTranspose_0": {"kernel": square[::-1, ::-1], "bias": jnp.zeros(1)}}}
    up = _Strided(ConvTranspose).apply(variables, x)
    assert up.shape == (1, 8, 8, 1)
    np.testing.assert_allclose(up[0, :, 0, 0] / 10, [10, 100 + 2, 20, 200 + 3, 30, 300 + 4, 40, 400])
