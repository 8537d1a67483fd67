import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nets import pix2pixhd
from jaxgan.nets.multiscale import halved


def _size(*trees):
    return sum(x.size for x in jax.tree.leaves(trees))


def test_the_published_network_has_so_many_weights():
    """The authors' global network of 35 labels and boundaries: 182.5 M; the enhancer by hand."""
    net, image = pix2pixhd.Generator(labels=35), jnp.zeros((1, 64, 64, 2))
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), None, image, train=True))["params"]
    assert set(params) == {*pix2pixhd.GLOBAL, *pix2pixhd.ENHANCER}
    assert _size(*(params[name] for name in pix2pixhd.GLOBAL)) == 182_546_755
    conv = lambda c, o, k: c * o * k * k + o  # noqa: E731
    enhancer = conv(36, 32, 7) + conv(32, 64, 3) + 6 * conv(64, 64, 3) + conv(64, 32, 3) + conv(32, 3, 7)
    assert _size(*(params[name] for name in pix2pixhd.ENHANCER)) == enhancer


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


def test_sides_that_cannot_be_halved_are_told(small):
    net, _, variables = small
    with pytest.raises(ValueError, match="multiples of 4, not 16x18"):
        net.apply(variables, None, jnp.zeros((1, 16, 18, 2)), train=False)
