import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import srgan


def _size(net, *inputs):
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), *inputs, train=True))
    return sum(x.size for x in jax.tree.leaves(shapes["params"]))


def test_the_papers_networks_have_so_many_weights():
    """By hand: kernels, biases, one slope for each PReLU, two numbers a channel of batch normalisation."""
    conv = lambda c, o, k: c * o * k * k + o  # noqa: E731
    block = 2 * (conv(64, 64, 3) + 128) + 1
    whole = conv(3, 64, 9) + 1 + 16 * block + conv(64, 64, 3) + 128
    whole += 2 * (conv(64, 256, 3) + 1) + conv(64, 3, 9)
    small, large = jnp.zeros((1, 24, 24, 3)), jnp.zeros((1, 96, 96, 3))
    assert _size(srgan.Generator(), jnp.zeros((1, 0)), small) == whole == 1_549_462
    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    judged = conv(3, 64, 3) + sum(9 * a * b + 2 * b for a, b in zip(widths, widths[1:], strict=False))
    judged += 36 * 512 * 1024 + 1024 + 1024 + 1
    assert _size(srgan.Discriminator(), large) == judged


def test_four_channels_are_a_square_of_pixels():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype(np.float32)
    found = np.asarray(srgan.shuffled(jnp.asarray(x)))
    assert found.shape == (2, 6, 8, 2)
    for c in range(2):
        for i in range(2):
            for j in range(2):
                np.testing.assert_array_equal(found[:, i::2, j::2, c], x[..., 4 * c + 2 * i + j])


@pytest.mark.parametrize("factor", [2, 4])
def test_an_answer_is_so_many_times_as_large(factor):
    net = srgan.Generator(4, blocks=1, factor=factor, channels=1)
    z, image = jnp.zeros((2, 0)), jax.random.normal(jax.random.key(1), (2, 5, 6, 1))
    made, variables = net.init_with_output(jax.random.key(0), z, image, train=True)
    assert made.shape == (2, 5 * factor, 6 * factor, 1)
    assert "batch_stats" in variables
    large = 9 * net.apply(variables, z, 9 * image, train=False)
    assert np.abs(large).max() > 1  # no tanh


def test_another_factor_is_told():
    with pytest.raises(ValueError, match="2, 4 or 8 times as large, not 3"):
        srgan.Generator(4, factor=3).init(jax.random.key(0), None, jnp.zeros((1, 4, 4, 1)), train=True)


def test_the_discriminator_halves_the_size_four_times():
    x = jax.random.normal(jax.random.key(1), (2, 28, 28, 1))
    net = srgan.Discriminator(4, dense=8)
    logits, variables = net.init_with_output(jax.random.key(0), x, x[:, ::4, ::4], train=True)
    assert logits.shape == (2,)
    assert variables["params"]["Dense_0"]["kernel"].shape == (2 * 2 * 32, 8)


def test_patches_are_judged_beside_what_was_given():
    x, image = jax.random.normal(jax.random.key(1), (2, 28, 28, 1)), jnp.zeros((2, 7, 7, 1))
    net = srgan.PatchDiscriminator(4)
    logits, variables = net.init_with_output(jax.random.key(0), x, image, train=True)
    assert logits.ndim == 3
    other = net.apply(variables, x, image.at[:, 0, 0].set(1), train=True)
    apart = np.abs(other - logits).max(0)
    assert apart[0, 0] > 0
    assert set(variables) == {"params"}
