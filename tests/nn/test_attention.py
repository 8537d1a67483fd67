from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgan.nn.attention import SelfAttention
from jaxgan.nn.spectral import spectral_norm


def _variables(layer, x):
    """Random ones, with a gamma that is not 0."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda s: rng.standard_normal(s.shape).astype(np.float32) / 3, shapes)
    variables["params"]["gamma"] = np.float32(0.7)
    return variables


def _pixel_by_pixel(x, params, over_keys=True):
    """One image [H, W, C], with gamma; the softmax over keys, or wrongly over queries."""
    f, g, h, v = (np.asarray(params[name]["kernel"])[0, 0] for name in "fghv")
    height, width, _ = x.shape
    cells = [(r, c) for r in range(0, height, 2) for c in range(0, width, 2)]
    keys, values = (np.array([(x[r : r + 2, c : c + 2] @ w).max((0, 1)) for r, c in cells]) for w in (f, h))
    scores = np.array([[(x[r, c] @ g) @ key for key in keys] for r in range(height) for c in range(width)])
    weights = np.exp(scores) / np.exp(scores).sum(int(over_keys), keepdims=True)
    return x + float(params["gamma"]) * (weights @ values @ v).reshape(x.shape)


def test_the_identity_at_initialisation(normal, key):
    x = normal((2, 4, 6, 16))
    y, variables = jax.jit(SelfAttention().init_with_output)(key, x)
    np.testing.assert_array_equal(y, x)
    shapes = {name: p["kernel"].shape for name, p in variables["params"].items() if name != "gamma"}
    assert shapes == {"f": (1, 1, 16, 2), "g": (1, 1, 16, 2), "h": (1, 1, 16, 8), "v": (1, 1, 8, 16)}
    gradient = jax.jit(jax.grad(lambda v: (SelfAttention().apply(v, x) ** 2).sum()))(variables)
    assert np.abs(gradient["params"]["gamma"]) > 0.1


def test_values_pixel_by_pixel(normal):
    x = normal((2, 4, 6, 16))
    variables = _variables(SelfAttention(), x)
    y = jax.jit(SelfAttention().apply)(variables, x)
    for image, result in zip(np.asarray(x), y, strict=True):
        np.testing.assert_allclose(result, _pixel_by_pixel(image, variables["params"]), atol=1e-4)
        wrong = _pixel_by_pixel(image, variables["params"], over_keys=False)
        assert np.abs(result - wrong).max() > 0.1  # the control


def test_gradients_to_order_two(normal):
    layer = SelfAttention(dtype=jnp.float64)
    with jax.enable_x64(True):
        x = normal((1, 4, 2, 8)).astype(np.float64)
        f = jax.jit(partial(layer.apply, _variables(layer, x)))
        check_grads(f, (x,), order=2, modes=["rev"])


def test_spectral_projections(normal):
    x = normal((2, 4, 4, 16))
    layer = SelfAttention(spectral=True)
    variables = _variables(layer, x)
    assert set(variables["spectral"]) == set("fghv")
    params = dict(variables["params"])
    for name in "fghv":
        kernel, _ = spectral_norm(params[name]["kernel"], variables["spectral"][name]["u"], 0)
        params[name] = {"kernel": kernel}
    expected = jax.jit(SelfAttention().apply)({"params": params}, x)
    y, moved = jax.jit(partial(layer.apply, mutable=["spectral"]))(variables, x)
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), expected, atol=1e-5)
    assert np.abs(y - expected).max() > 1e-3  # the control: a vector that moved on
    assert not np.allclose(moved["spectral"]["h"]["u"], variables["spectral"]["h"]["u"], atol=1e-3)


def test_bfloat16(normal, key):
    x = normal((2, 4, 4, 16))
    layer = SelfAttention(dtype=jnp.bfloat16)
    shapes = jax.eval_shape(layer.init, key, x)
    assert {s.dtype for s in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    variables = _variables(layer, x)
    y, full = (jax.jit(lay.apply)(variables, x) for lay in (layer, SelfAttention()))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), full, atol=0.1)


@pytest.mark.parametrize("shape", [(2, 4, 4, 12), (2, 3, 4, 8), (2, 4, 5, 8), (4, 4, 8)])
def test_shapes_that_do_not_fit(key, shape):
    with pytest.raises(ValueError, match="even sizes and a multiple of 8 channels"):
        jax.eval_shape(SelfAttention().init, key, jnp.zeros(shape))
