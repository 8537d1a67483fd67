import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan.nn.conv import conv
from jaxgan.nn.equalized import EqualizedConv, EqualizedDense


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (EqualizedDense(64, gain=1), (256, 300)),
        (EqualizedConv(64, (5,), gain=1, padding="VALID"), (64, 20, 60)),
    ],
)
def test_outputs_have_unit_variance_at_first(normal, key, layer, shape):
    x = normal(shape)
    y, variables = jax.jit(layer.init_with_output)(key, x)
    np.testing.assert_allclose(y.var(), 1, rtol=0.05)
    kernel = variables["params"]["kernel"]
    np.testing.assert_allclose(kernel.std(), 1, rtol=0.05)
    after_relu = jax.jit(layer.clone(gain=np.sqrt(2)).apply)(variables, nn.relu(x))
    np.testing.assert_allclose(jnp.square(after_relu).mean(), 1, rtol=0.05)
    plain = nn.Dense(64, kernel_init=nn.initializers.normal(1))
    y, _ = jax.jit(plain.init_with_output)(key, x)
    assert y.var() > 50  # the control: unit weights alone make fan_in


def test_the_default_gain_is_hes(normal, key):
    x = normal((2, 5, 5, 3))
    layer = EqualizedConv(4, (3, 3), bias_init=nn.initializers.ones)
    y, variables = jax.jit(layer.init_with_output)(key, x)
    expected = 1 + conv(x, variables["params"]["kernel"] * np.sqrt(2 / 27), (1, 1))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def _effective(layer, variables, inputs):
    """The weight and the bias that the layer computes with."""
    bias = layer.apply(variables, jnp.zeros((1, inputs)))
    return layer.apply(variables, jnp.eye(inputs)) - bias, bias


@pytest.mark.parametrize(
    ("layer", "weight_step", "bias_step"),
    [
        (EqualizedDense(5), 0.1 * np.sqrt(2 / 16), 0.1),
        (EqualizedDense(5, gain=1, lr_multiplier=0.01), 0.001 / np.sqrt(16), 0.001),
        (nn.Dense(5), 0.1, 0.1),  # the control: the learning rate itself
    ],
)
def test_a_step_of_adam_is_in_proportion_to_hes_constant(normal, key, layer, weight_step, bias_step):
    x = normal((8, 16))
    adam = optax.adam(0.1)

    @jax.jit
    def step():
        variables = layer.init(key, x)
        grads = jax.grad(lambda v: (layer.apply(v, x) ** 2).sum())(variables)
        updates, _ = adam.update(grads, adam.init(variables))
        return [_effective(layer, v, 16) for v in (variables, optax.apply_updates(variables, updates))]

    before, after = step()
    for a, b, step in zip(before, after, (weight_step, bias_step), strict=True):
        np.testing.assert_allclose(np.abs(b - a), step, rtol=2e-3)


@pytest.mark.parametrize("bias_init", [nn.initializers.zeros, nn.initializers.ones])
def test_the_multiplier_does_not_change_what_is_computed_at_first(normal, key, bias_init):
    x = normal((4, 16))
    slow = EqualizedDense(5, bias_init=bias_init, lr_multiplier=0.01)
    y, variables = jax.jit(slow.init_with_output)(key, x)
    expected, _ = jax.jit(slow.clone(lr_multiplier=1.0).init_with_output)(key, x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variables["params"]["bias"], 100 * bias_init(key, (5,)), rtol=1e-5)


def test_bfloat16(normal, key):
    x = normal((4, 16))
    layer = EqualizedDense(5, dtype=jnp.bfloat16)
    y, variables = jax.jit(layer.init_with_output)(key, x)
    assert y.dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    full = jax.jit(layer.clone(dtype=jnp.float32).apply)(variables, x)
    np.testing.assert_allclose(y.astype(jnp.float32), full, atol=0.1)
