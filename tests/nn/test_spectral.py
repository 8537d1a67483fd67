import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn.spectral import SpectralConv, SpectralDense, SpectralEmbed, spectral_norm


def _top(kernel):
    return np.linalg.norm(np.asarray(kernel).reshape(-1, kernel.shape[-1]), 2)


def test_the_largest_singular_value_becomes_one(key):
    kernel = jax.random.normal(key, (3, 3, 4, 6))
    u = jnp.ones(6) / np.sqrt(6)
    rough, _ = spectral_norm(kernel, u, 1)
    exact, u = spectral_norm(kernel, u, 200)
    np.testing.assert_allclose(_top(exact), 1, rtol=1e-5)
    assert _top(rough) > 1.001  # the control: one step from ones is not enough
    np.testing.assert_allclose(spectral_norm(kernel, u, 0)[0], exact, rtol=1e-5)


def test_its_gradient_is_miyatos(key):
    """Equation 12: (G - <G, W> u v') / sigma, with W the normalised kernel."""
    kernel = jax.random.normal(key, (5, 4))
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    g = jax.random.normal(jax.random.key(1), kernel.shape)
    u = jnp.asarray(right[0])
    ours = jax.grad(lambda k: (g * spectral_norm(k, u)[0]).sum())(kernel)
    direction = np.outer(left[:, 0], right[0])
    expected = (g - (g * kernel).sum() / values[0] * direction) / values[0]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_the_vector_moves_where_its_collection_is_mutable_alone(key):
    layer, x = SpectralConv(8, (3, 3)), jax.random.normal(key, (2, 5, 5, 3))
    variables = layer.init(key, x)
    assert set(variables) == {"params", "spectral"}
    _, moved = layer.apply(variables, x, mutable=["spectral"])
    assert not np.allclose(moved["spectral"]["u"], variables["spectral"]["u"], atol=1e-3)
    y = layer.apply(variables, x)
    np.testing.assert_array_equal(y, layer.apply(variables, x))
    for _ in range(100):
        _, stats = layer.apply(variables, x, mutable=["spectral"])
        variables = {**variables, **stats}
    normalised, _ = spectral_norm(variables["params"]["kernel"], variables["spectral"]["u"], 0)
    np.testing.assert_allclose(_top(normalised), 1, rtol=1e-4)


def test_an_averaged_vector_tells_the_value_too(key):
    """The average of a player's variables is of its unit vectors too, which is shorter where they turn."""
    kernel = jax.random.normal(key, (5, 4))
    _, u = spectral_norm(kernel, jnp.ones(4) / 2, 100)
    np.testing.assert_allclose(_top(spectral_norm(kernel, 0.3 * u, 0)[0]), 1, rtol=1e-5)


@pytest.mark.parametrize("layer", [SpectralConv(8, (3, 3)), SpectralDense(8), SpectralEmbed(3, 8)], ids=repr)
def test_many_iterations_are_as_many_steps_of_one(layer, key):
    x = jnp.array([0, 2]) if isinstance(layer, SpectralEmbed) else jax.random.normal(key, (2, 5, 5, 3))
    variables = layer.init(key, x)
    y, at_once = layer.clone(iterations=7).apply(variables, x, mutable=["spectral"])
    for _ in range(7):
        one_by_one, stats = layer.apply(variables, x, mutable=["spectral"])
        variables = {**variables, **stats}
    np.testing.assert_allclose(at_once["spectral"]["u"], variables["spectral"]["u"], rtol=1e-5)
    np.testing.assert_allclose(y, one_by_one, rtol=1e-5)
