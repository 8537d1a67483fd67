import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import pix2pix


def _size(net, *inputs):
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), *inputs, train=True))
    assert set(shapes) == {"params"}  # no statistics are kept
    return sum(x.size for x in jax.tree.leaves(shapes))


def _keys(n, seed=0):
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(n))


def test_the_published_networks_have_so_many_weights():
    """The counts that the authors' code prints for its networks of 256 pixels: 54.414 M and 2.769 M."""
    image = jnp.zeros((1, 256, 256, 3))
    assert _size(pix2pix.Generator(norm="batch"), _keys(1), image) == 54_413_955
    assert _size(pix2pix.Discriminator(norm="batch"), image, image) == 2_768_705
    # CycleGAN's discriminator, with instance normalisation and no input beside: 2.765 M.
    assert _size(pix2pix.Discriminator(), image) == 2_764_737


@pytest.mark.parametrize(("layers", "side"), list(enumerate((1, 16, 34, 70, 142, 286))))
def test_a_patch_is_what_a_logit_depends_on(layers, side):
    net, n = pix2pix.Discriminator(width=2, layers=layers, norm="none"), side + 66
    x = jax.random.normal(jax.random.key(1), (1, n, n, 1))
    variables = jax.jit(lambda: net.init(jax.random.key(0), x, train=True))()

    @jax.jit
    @jax.grad
    def slope(x):
        logits = net.apply(variables, x, train=True)
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    for axis in (0, 1):
        reached = np.flatnonzero(np.any(np.asarray(slope(x))[0, ..., 0] != 0, axis=1 - axis))
        assert reached[-1] - reached[0] + 1 == side


@pytest.fixture(scope="module")
def small():
    """A U-Net of depth 4 and images of 16 pixels: ((z, image) -> answers, keys, images)."""
    net = pix2pix.Generator(width=4, depth=4, channels=1)
    z, image = _keys(3), jax.random.normal(jax.random.key(2), (3, 16, 16, 2))
    variables = jax.jit(lambda: net.init(jax.random.key(0), z, image, train=True))()
    return jax.jit(lambda z, image, net=net: net.apply(variables, z, image, train=False)), z, image


def test_noise_is_dropout_by_each_examples_key(small):
    call, z, image = small
    made = call(z, image)
    assert made.shape == (3, 16, 16, 1)
    assert np.abs(made).max() < 1
    np.testing.assert_array_equal(call(z, image), made)
    other = call(_keys(3, seed=1), image)
    assert (np.abs(other - made).max((1, 2, 3)) > 1e-3).all()
    # An example's answer is its own: neither the others nor its place in the batch matter.
    np.testing.assert_allclose(call(z[::-1], image[::-1])[::-1], made, atol=1e-6)
    np.testing.assert_allclose(call(z[:1], image[:1]), made[:1], atol=1e-6)


def test_without_dropout_the_answer_is_one():
    net = pix2pix.Generator(width=4, depth=4, channels=1, dropout=0.0)
    image = jax.random.normal(jax.random.key(2), (2, 16, 16, 1))
    variables = jax.jit(lambda: net.init(jax.random.key(0), _keys(2), image, train=True))()
    call = jax.jit(lambda z: net.apply(variables, z, image, train=False))
    np.testing.assert_array_equal(call(_keys(2)), call(_keys(2, seed=9)))


def test_dropout_keeps_the_mean():
    x = jnp.ones((64, 10, 10, 4))
    found = pix2pix.dropped(_keys(64), x, 0.25)
    assert set(np.unique(found)) == {0.0, np.float32(4 / 3)}
    assert float(found.mean()) == pytest.approx(1, abs=0.02)
    assert float((found == 0).mean()) == pytest.approx(0.25, abs=0.01)


def test_skips_carry_what_the_middle_cannot():
    """Two images that differ in one pixel have answers that differ near it most."""
    net = pix2pix.Generator(width=4, depth=4, channels=1, dropout=0.0, norm="none")
    image = jnp.zeros((1, 16, 16, 1))
    variables = jax.jit(lambda: net.init(jax.random.key(0), _keys(1), image, train=True))()
    variables = jax.tree.map(lambda x: x * 10, variables)
    call = jax.jit(lambda image: net.apply(variables, _keys(1), image, train=False))
    apart = np.abs(call(image.at[0, 4, 4].set(1.0)) - call(image))[0, ..., 0]
    assert apart[2:8, 2:8].mean() > 3 * apart[10:, 10:].mean()


def test_a_size_that_is_not_halved_so_often_is_refused():
    net = pix2pix.Generator(width=4, depth=4)
    with pytest.raises(ValueError, match="depth 4 takes sides that are multiples of 16, not 24x16"):
        jax.eval_shape(lambda: net.init(jax.random.key(0), _keys(1), jnp.zeros((1, 24, 16, 1)), train=True))


def test_what_is_around_a_hole_stays_as_it_is():
    net = pix2pix.Filled(pix2pix.Generator(width=2, depth=2, channels=1))
    z, image = _keys(2), jax.random.normal(jax.random.key(0), (2, 8, 8, 2))
    variables = net.init(jax.random.key(1), z, image, train=True)
    made = net.apply(variables, z, image, train=False)
    around = image[..., 1] <= 0
    np.testing.assert_array_equal(made[..., 0][around], image[..., 0][around])
    answer = net.net.apply({"params": variables["params"]["net"]}, z, image, train=False)
    np.testing.assert_allclose(made[..., 0][~around], answer[..., 0][~around], rtol=1e-6)
    with pytest.raises(ValueError, match="a last channel beside the 1 of the answer; there are 3"):
        net.init(jax.random.key(1), z, jnp.zeros((2, 8, 8, 3)), train=True)
