"""Where a norm, a spread or a distance is 0, tiny or large, values and derivatives are finite."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgan.losses import penalties
from jaxgan.nn.minibatch import minibatch_std
from jaxgan.nn.norm import pixel_norm
from jaxgan.nn.spectral import SpectralDense, spectral_norm

B = 4
KEY, SLOT = jax.random.key(0), jnp.arange(B)
X = jax.random.normal(jax.random.key(1), (B, 3, 2))
W = jax.random.normal(jax.random.key(2), (3, 2))


def _critic(w):
    return lambda x: (w[None] * jnp.tanh(x)).sum((1, 2))


def _of_critic(penalty, w, scale=1.0):
    return penalty(_critic(scale * w), X, 0.5 * X, KEY, SLOT).sum()


def _latent(key, slot):
    return jnp.ones((len(slot), 3, 2))


def _generated(penalty, w, scale=1.0):
    generate = lambda z: z * (scale * w)[None]  # noqa: E731
    z = _latent(KEY, SLOT)
    return penalty(generate, z, generate(z), KEY, SLOT).sum()


AUGMENT = lambda key, x, slot: x  # noqa: E731
OF_WEIGHTS = {
    **{
        f.__name__: partial(_of_critic, f)
        for f in (
            penalties.gradient_penalty,
            penalties.dragan,
            penalties.r1,
            penalties.r2,
            penalties.zero_centred,
            penalties.drift,
        )
    },
    "consistency": partial(_of_critic, partial(penalties.consistency, augment=AUGMENT, weight_fake=1.0)),
    "normalise_gradient": lambda w, scale=1.0: penalties.normalise_gradient(_critic(scale * w))(X).sum(),
    "of a normalised one": lambda w, scale=1.0: penalties.squared_gradient(
        penalties.normalise_gradient(_critic(scale * w)), X
    ).sum(),
    "path_length": partial(_generated, partial(penalties.path_length, mean=0.0)),
    "mode_seeking": partial(_generated, partial(penalties.mode_seeking, latent=_latent)),
    "orthogonal": lambda w, scale=1.0: penalties.orthogonal({"w": scale * w}),
    "pixel_norm": lambda w, scale=1.0: (pixel_norm(scale * w) * W).sum(),
    "minibatch_std": lambda w, scale=1.0: minibatch_std(scale * w, 3).sum(),
    "batch norm": lambda w, scale=1.0: (nn.BatchNorm(False).init_with_output(KEY, scale * w)[0] * W).sum(),
}
DEGENERATE = {"zeros": (0 * W, 1.0), "equal": (0 * W + 1, 1.0), "tiny": (W, 1e-20), "large": (W, 1e4)}


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_values_and_derivatives_to_order_two_are_finite(name):
    f = jax.jit(lambda w, scale: OF_WEIGHTS[name](w, scale))
    slope = lambda w, scale: (jax.grad(f)(w, scale) * W).sum()  # noqa: E731
    all_orders = jax.jit(lambda w, scale: (f(w, scale), jax.grad(f)(w, scale), jax.grad(slope)(w, scale)))
    for where, (w, scale) in DEGENERATE.items():
        for order, x in enumerate(all_orders(w, scale)):
            assert np.isfinite(x).all(), (where, order)


def test_at_equal_data_dragan_is_finite():
    value = jax.grad(lambda w: penalties.dragan(_critic(w), 0 * X, 0 * X, KEY, SLOT).sum())(W)
    assert np.isfinite(value).all()


def test_the_safe_norm_is_the_norm_where_it_is_not_lost():
    x = jnp.array([0.0, 1e-30, 1e-20, 4e-10, 9.0, 1e30])
    np.testing.assert_allclose(penalties.safe_norm(x), [0, 0, 1e-10, 2e-5, 3, 1e15], rtol=1e-6)
    assert np.isfinite(jax.vmap(jax.grad(penalties.safe_norm))(x)).all()
    assert np.isfinite(jax.vmap(jax.grad(jax.grad(penalties.safe_norm)))(x)).all()


KERNEL = np.asarray(jax.random.normal(jax.random.key(3), (4, 3)))


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize(
    "kernel", [KERNEL, KERNEL[:1], KERNEL[:, :1], KERNEL[:, [0, 0, 0]]], ids=["4x3", "1x3", "4x1", "rank 1"]
)
def test_a_kernel_of_any_scale_is_normalised(kernel, scale):
    """To the same kernel, with the gradient as many times as large."""
    u = np.ones(kernel.shape[1], np.float32) / np.sqrt(kernel.shape[1])
    g = np.cos(np.arange(kernel.size, dtype=np.float32)).reshape(kernel.shape)

    @jax.jit
    def run(kernel):
        loss = lambda k: (g * spectral_norm(k, u, 30)[0]).sum()  # noqa: E731
        return spectral_norm(kernel, u, 30)[0], jax.grad(loss)(kernel)

    value, slope = run(jnp.float32(scale) * kernel)
    np.testing.assert_allclose(np.linalg.norm(value, 2), 1, rtol=1e-5)
    expected, of_one = run(kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.float64(slope) * scale, of_one, rtol=1e-3, atol=1e-5)


@jax.jit
def _value_and_slope(kernel, u):
    loss = lambda k: jnp.sin(spectral_norm(k, u)[0]).sum()  # noqa: E731
    return *spectral_norm(kernel, u), jax.grad(loss)(kernel)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-18, 1e18, 1e30, 1e38])
def test_a_kernel_beyond_float32s_squares_is_given_back(scale):
    kernel = jnp.float32(scale) * KERNEL / 4
    value, u, slope = _value_and_slope(kernel, jnp.ones(3) / np.sqrt(3))
    np.testing.assert_array_equal(value, kernel)
    assert np.isfinite(slope).all()
    assert np.linalg.norm(u) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 3), (1, 3), (4, 1), (3, 3, 2, 4)])
def test_a_kernel_of_zeros_is_given_back_and_recovers(shape):
    u = jnp.ones(shape[-1]) / jnp.sqrt(shape[-1])
    for steps in (0, 1):
        value, after = spectral_norm(jnp.zeros(shape), u, steps)
        np.testing.assert_array_equal(value, np.zeros(shape))
        np.testing.assert_array_equal(after, u)  # else it were lost for ever
        slope = jax.grad(lambda k, n=steps: jnp.sin(spectral_norm(k, u, n)[0]).sum())(jnp.zeros(shape))
        assert np.isfinite(slope).all()
    denormal, _ = spectral_norm(jnp.full(shape, 1e-42, jnp.float32), u)
    assert np.isfinite(denormal).all()


def test_a_vector_that_is_lost_on_the_kernel_begins_anew():
    value, u = spectral_norm(jnp.array([[3.0, 0.0], [0.0, 0.0]]), jnp.array([0.0, 1.0]), 1)
    np.testing.assert_allclose(value, [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(u, [1, 0], atol=1e-6)


def test_a_layer_that_begins_at_zero_trains():
    layer, x = SpectralDense(3, kernel_init=nn.initializers.zeros), jnp.ones((2, 4))
    variables = layer.init(KEY, x)

    def loss(params):
        y, stats = layer.apply({**variables, "params": params}, x, mutable=["spectral"])
        return jnp.square(y - 1).sum(), stats

    (_, stats), slope = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    moved = jax.tree.map(lambda p, g: p - 0.1 * g, variables["params"], slope)
    y = layer.apply({**stats, "params": moved}, x)
    assert np.isfinite(y).all()
    assert float(jnp.abs(y).max()) > 0.1
