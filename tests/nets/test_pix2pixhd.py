from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import resident
from jaxgan.nets import pix2pixhd
from jaxgan.nets.multiscale import halved


def _size(*trees):
    return sum(x.size for x in jax.tree.leaves(trees))


def test_the_published_network_has_so_many_weights():
    """The authors' global network of 35 labels and boundaries: 182.5 M; the enhancer by hand."""
    net, image = pix2pixhd.Generator(labels=35), jnp.zeros((1, 64, 64, 2))
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), None, image, train=True))["params"]
    assert {"encoder", *params} == {*pix2pixhd.GLOBAL, *pix2pixhd.ENHANCER}
    assert _size(params["whole"], params["whole_image"]) == 182_546_755
    conv = lambda c, o, k: c * o * k * k + o  # noqa: E731
    enhancer = conv(36, 32, 7) + conv(32, 64, 3) + 6 * conv(64, 64, 3) + conv(64, 32, 3) + conv(32, 3, 7)
    assert _size(*(params[name] for name in pix2pixhd.ENHANCER)) == enhancer
    encoder = jax.eval_shape(pix2pixhd.Encoder().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    between = [16, 32, 64, 128, 256, 128, 64, 32, 16]
    expected = conv(3, 16, 7) + conv(16, 3, 7)
    expected += sum(conv(c, o, 3) for c, o in zip(between[:-1], between[1:], strict=True))
    assert _size(encoder) == expected


@pytest.fixture(scope="module")
def small():
    net = pix2pixhd.Generator(2, levels=1, blocks=1, enhancer_blocks=1, channels=1)
    image = jax.random.normal(jax.random.key(1), (2, 16, 16, 2))
    return net, image, jax.jit(lambda: net.init(jax.random.key(0), None, image, train=True))()


def test_the_coarse_one_is_the_global_network_at_half_the_size(small):
    net, image, variables = small
    made = net.clone(coarse=True).apply(variables, None, image, train=True)
    assert made.shape == (2, 8, 8, 1)
    whole = pix2pixhd.Global(4, 1, 1)
    maps = whole.apply({"params": variables["params"]["whole"]}, halved(image))
    head = pix2pixhd.Picture(1)
    np.testing.assert_allclose(
        made, head.apply({"params": variables["params"]["whole_image"]}, maps), atol=1e-6
    )


def test_the_whole_answer_needs_both(small):
    net, image, variables = small
    call = lambda params: net.apply({**variables, "params": params}, None, image, train=True)  # noqa: E731
    made = call(variables["params"])
    assert made.shape == (2, 16, 16, 1)
    for name in ("whole", "enhancer", "image", "whole_image"):
        other = variables["params"] | {name: jax.tree.map(lambda x: x + 0.1, variables["params"][name])}
        assert (np.abs(call(other) - made).max() > 1e-4) == (name != "whole_image"), name


@pytest.fixture(scope="module")
def featured():
    """Maps of two labels: above the instances 0 and 1, both of label 0, below 2 of label 1."""
    net = pix2pixhd.Generator(2, 1, 1, 1, channels=1, labels=2, features=2)
    number = np.zeros((2, 16, 16, 2), np.uint8)
    number[:, :8, 8:, 1], number[:, 8:] = 1, (1, 2)
    image = resident.scaled(jnp.asarray(number))
    real = jax.random.normal(jax.random.key(2), (2, 16, 16, 1))
    z = jax.random.normal(jax.random.key(3), (2, 256 * 2))
    return net, number, image, real, z, net.init(jax.random.key(0), z, image, real, train=True)


def test_features_are_means_over_instances(featured):
    net, number, image, real, z, variables = featured
    styled = lambda z, real: net.apply(variables, z, image, real, method="styled")  # noqa: E731
    found = styled(z, real)
    made = pix2pixhd.Encoder(2, 2, 1).apply({"params": variables["params"]["encoder"]}, real)
    for i in range(3):
        own = number[0, ..., 1] == i
        for k in range(2):
            expected = np.broadcast_to(made[k][own].mean(0), (own.sum(), 2))
            np.testing.assert_allclose(found[k][own], expected, rtol=1e-4, atol=1e-6)
    # Of the coarse game's half image its own instances.
    half = styled(z, real[:, ::2, ::2])
    assert half.shape == found.shape
    assert len(np.unique(half[0].reshape(-1, 2), axis=0)) == 3


def test_without_an_image_features_are_as_those_of_their_labels(featured):
    net, _, image, real, z, variables = featured
    styled = partial(net.apply, image=image, method="styled")
    # Nothing is known yet: z itself.
    found = styled(variables, z, real=None)
    np.testing.assert_allclose(found[:, 0, 0], z[:, :2], rtol=1e-6)
    np.testing.assert_allclose(found[:, 12, 0], z[:, 4:6], rtol=1e-6)
    learn = lambda variables: styled(variables, z, real=real, mutable=["styles"])[1]  # noqa: E731
    known = variables | learn(variables)
    known |= learn(known)
    ones, zeros = (styled(known, jnp.full_like(z, x), real=None) for x in (1, 0))
    truth = styled(variables, z, real=real)
    for rows in (slice(8), slice(8, 16)):
        of = truth[:, rows].reshape(-1, 2)
        np.testing.assert_allclose(zeros[0, rows][0, 0], of.mean(0), rtol=1e-4)
        np.testing.assert_allclose((ones - zeros)[0, rows][0, 0], of.std(0), rtol=2e-2, atol=1e-5)


def test_features_want_instances(featured):
    net, _, image, _, z, variables = featured
    with pytest.raises(ValueError, match="a label map with these beside"):
        net.apply(variables, z, image[..., :1], train=False)


def test_sides_that_cannot_be_halved_are_told(small):
    net, _, variables = small
    with pytest.raises(ValueError, match="multiples of 4, not 16x18"):
        net.apply(variables, None, jnp.zeros((1, 16, 18, 2)), train=False)
