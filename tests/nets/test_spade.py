from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan.nets import spade
from jaxgan.nn.norm import instance_norm


def _size(net, *inputs, **options):
    shapes = jax.eval_shape(partial(net.init, **options), jax.random.key(0), *inputs)
    return sum(x.size for x in jax.tree.leaves(shapes["params"]))


def test_the_published_networks_have_so_many_weights():
    """The counts that the authors' code prints: 97.5 M for COCO's 182 labels, an unknown one and boundaries,
    96.5 M for ADE20K's 151, 93.0 M for Cityscapes' 35 and boundaries; 10.5 M for the encoder."""
    z = jnp.zeros((1, 256))
    for labels, channels, count in ((183, 2, 97_480_899), (151, 1, 96_492_483), (35, 2, 93_048_003)):
        image = jnp.zeros((1, 256, 256, channels))
        assert _size(spade.Generator(labels), z, image, train=True) == count
    assert _size(spade.Encoder(), jnp.zeros((1, 256, 256, 3))) == 10_463_424


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_without_its_numbers_it_is_the_plain_norm(norm):
    net = spade.Spade(hidden=4, norm=norm)
    x, of = jax.random.normal(jax.random.key(1), (3, 4, 4, 6)), jnp.ones((3, 8, 8, 2))
    variables = net.init(jax.random.key(0), x, of, train=True)
    plain = instance_norm(x)
    if norm == "batch":
        norm = nn.BatchNorm(use_running_average=False, use_scale=False, use_bias=False)
        plain, _ = norm.init_with_output(jax.random.key(0), x)
    zero = {
        k: {n: 0 * w for n, w in p.items()} if k != "shared" else p for k, p in variables["params"].items()
    }

    def call(params):
        return net.apply({**variables, "params": params}, x, of, train=True, mutable=["batch_stats"])[0]

    np.testing.assert_allclose(call(zero), plain, atol=1e-6)
    assert np.abs(call(variables["params"]) - plain).max() > 1e-7
    # gamma multiplies what is normalised and beta is added to it.
    for name, expected in (("gamma", 3 * plain), ("beta", plain + 2)):
        moved = zero | {name: zero[name] | {"bias": jnp.full(6, 2.0)}}
        np.testing.assert_allclose(call(moved), expected, atol=1e-5)


def _map(*labels, side=16):
    return jnp.asarray(labels).reshape(-1, 1, 1, 1) * jnp.ones((1, side, side, 1)) / 127.5 - 1


def test_a_map_of_one_label_is_told_by_spade_alone():
    """Instance normalisation of the map beside the layer's input leaves nothing of a constant."""
    x, of = jax.random.normal(jax.random.key(1), (1, 4, 4, 6)), jnp.eye(2)
    maps = [jnp.broadcast_to(code, (1, 8, 8, 2)) for code in of]
    told = []
    for net in (spade.Spade(hidden=4, norm="instance"), spade.Joined()):
        variables = net.init(jax.random.key(0), x, maps[0], train=True)
        a, b = (net.apply(variables, x, one, train=True) for one in maps)
        told.append(bool((np.abs(a - b) > 1e-7).any()))
    assert told == [True, False]
    np.testing.assert_allclose(a[..., :6], instance_norm(x), atol=1e-6)
    np.testing.assert_array_equal(a[..., 6:], 0)


@pytest.fixture(scope="module")
def styled():
    net = spade.Generator(3, 4, depth=2, channels=1, hidden=4, encoder=True)
    z, image = jax.random.normal(jax.random.key(1), (2, 5)), _map(1, 2)
    real = jax.random.normal(jax.random.key(2), (2, 16, 16, 1))
    return net, z, image, real, jax.jit(lambda: net.init(jax.random.key(0), z, image, real, train=True))()


def test_a_style_is_drawn_around_that_of_the_real_image(styled):
    net, z, image, real, variables = styled
    call = lambda z, real: net.apply(variables, z, image, real, train=True, mutable=["batch_stats"])[0]  # noqa: E731
    made, (mean, log_variance) = call(z, real)
    assert made.shape == (2, 16, 16, 1)
    assert mean.shape == log_variance.shape == (2, 5)
    drawn, _ = net.apply(
        variables, mean + jnp.exp(log_variance / 2) * z, image, train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(drawn, made, atol=1e-6)
    other, _ = call(z, real[::-1])
    assert np.abs(other - made).max() > 1e-7


def test_the_divergence_of_a_style():
    """Against the integral over a grid; 0 of the standard one."""
    at = np.linspace(-15, 15, 20001)

    def log_normal(x, mean, variance):
        return -((x - mean) ** 2) / variance / 2 - np.log(2 * np.pi * variance) / 2

    mean, log_variance = jnp.array([[0.0, 1.5], [0.0, 0.0]]), jnp.array([[-1.0, 0.7], [0.0, 0.0]])
    expected = 0
    for m, v in zip(mean[0].tolist(), np.exp(log_variance[0]).tolist(), strict=True):
        p, q = log_normal(at, m, v), log_normal(at, 0, 1)
        expected += np.trapezoid(np.exp(p) * (p - q), at)
    np.testing.assert_allclose(spade.divergence((mean, log_variance)), [expected, 0], atol=1e-5)


def test_sides_that_cannot_be_halved_are_told(styled):
    net, z, _, _, variables = styled
    with pytest.raises(ValueError, match="multiples of 4, not 18x16"):
        net.apply(variables, z, jnp.zeros((2, 18, 16, 1)), train=False)
