from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from jaxgan.nn.norm import (
    ConditionalBatchNorm,
    ModulatedBatchNorm,
    UnkeptBatchNorm,
    instance_norm,
    pixel_norm,
)


def test_pixel_norm_by_hand():
    x = jnp.array([[[3.0, 4.0], [0.0, 0.0]]])
    expected = [[[3 / np.sqrt(12.5), 4 / np.sqrt(12.5)], [0, 0]]]
    np.testing.assert_allclose(pixel_norm(x), expected, rtol=1e-6)


def test_pixel_norm_is_linens_root_mean_square_alone(normal):
    x = 3 + normal((2, 3, 3, 5))
    linens = nn.RMSNorm(epsilon=1e-8, use_scale=False).apply({}, x)
    np.testing.assert_allclose(pixel_norm(x), linens, rtol=1e-6)
    centred = nn.LayerNorm(use_bias=False, use_scale=False).apply({}, x)
    assert np.abs(pixel_norm(x) - centred).max() > 1  # the control: the mean stays


def test_pixel_norm_computes_in_float32_and_its_gradient_at_0_is_finite():
    x = jnp.full((1, 300), 3, jnp.bfloat16)
    assert pixel_norm(x).dtype == jnp.bfloat16
    np.testing.assert_array_equal(pixel_norm(x).astype(jnp.float32), 1)
    gradient = jax.grad(lambda x: pixel_norm(x).sum())(jnp.zeros((2, 3)))
    np.testing.assert_allclose(gradient, 1e4, rtol=1e-5)  # 1 / sqrt(epsilon)
    with jax.enable_x64(True):
        x = jnp.array([[0.5, -1.0, 2.0]], jnp.float64)
        check_grads(jax.jit(pixel_norm), (x,), order=2, modes=["rev"])


def _layer_and_variables(key, n_classes=3, features=2, **options):
    layer = ConditionalBatchNorm(n_classes, **options)
    x, label = jnp.zeros((1, 1, 1, features)), jnp.zeros(1, jnp.int32)
    variables = jax.jit(partial(layer.init, train=True))(key, x, label)
    for name, value in (("scale", 1), ("bias", 0)):
        np.testing.assert_array_equal(variables["params"][name]["embedding"], value)
    rng = np.random.default_rng(0)
    params = {name: {"embedding": rng.standard_normal((n_classes, features))} for name in ("scale", "bias")}
    params = jax.tree.map(lambda p: p.astype(np.float32), params)
    return layer, {**variables, "params": params}


LABEL = np.array([0, 2, 1, 1, 0, 2, 2, 0], np.int32)


def test_conditional_batch_norm_example_by_example(normal, key):
    layer, variables = _layer_and_variables(key, momentum=0.8)
    x = 2 + 3 * normal((8, 3, 4, 2))
    y, moved = jax.jit(partial(layer.apply, train=True, mutable=["batch_stats"]))(variables, x, LABEL)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    scale, bias = (variables["params"][name]["embedding"] for name in ("scale", "bias"))
    for i, c in enumerate(LABEL):
        expected = scale[c] * (x[i] - mean) / np.sqrt(variance + 1e-5) + bias[c]
        np.testing.assert_allclose(y[i], expected, rtol=1e-4, atol=1e-5)
        wrong = scale[(c + 1) % 3] * (x[i] - mean) / np.sqrt(variance) + bias[(c + 1) % 3]
        assert np.abs(y[i] - wrong).max() > 0.1  # the control: another class
    running = jax.tree.map(np.asarray, moved["batch_stats"]["BatchNorm_0"])
    np.testing.assert_allclose(running["mean"], 0.2 * mean, rtol=1e-4)
    np.testing.assert_allclose(running["var"], 0.8 + 0.2 * variance, rtol=1e-4)
    y = jax.jit(partial(layer.apply, train=False))({**variables, **moved}, x, LABEL)
    expected = scale[0] * (x[0] - running["mean"]) / np.sqrt(running["var"] + 1e-5) + bias[0]
    np.testing.assert_allclose(y[0], expected, rtol=1e-4, atol=1e-5)


def test_its_statistics_are_the_global_batchs(normal, key):
    _, variables = _layer_and_variables(key)
    x = normal((8, 2)) + jnp.arange(8)[:, None]

    def run(axis_name, x, label):
        layer = ConditionalBatchNorm(3, axis_name=axis_name)
        return layer.apply(variables, x, label, train=True, mutable=["batch_stats"])[0]

    def on_two(axis_name):
        shards = x.reshape(2, 4, 2), LABEL.reshape(2, 4)
        run_one = lambda x, label: run(axis_name, x, label)  # noqa: E731
        return jax.pmap(run_one, axis_name="devices", devices=jax.devices()[:2])(*shards).reshape(8, 2)

    whole = jax.jit(partial(run, None))(x, LABEL)
    np.testing.assert_allclose(on_two("devices"), whole, atol=1e-5)
    assert np.abs(on_two(None) - whole).max() > 0.1  # the control: each shard's own


def test_its_gradients_are_right_to_order_two(normal, key):
    with jax.enable_x64(True):
        layer, variables = _layer_and_variables(key, dtype=jnp.float64)
        x = normal((4, 2)).astype(np.float64)

        @jax.jit
        def f(params, x):
            inputs = {**variables, "params": params}
            return layer.apply(inputs, x, LABEL[:4], train=True, mutable=["batch_stats"])[0]

        params = jax.tree.map(lambda p: p.astype(jnp.float64), variables["params"])
        check_grads(f, (params, x), order=2, modes=["rev"])


def test_bfloat16_and_labels_that_do_not_fit(normal, key):
    layer, variables = _layer_and_variables(key, dtype=jnp.bfloat16)
    x = normal((8, 2))
    y = jax.jit(partial(layer.apply, train=False))(variables, x, LABEL + 1)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.isnan(y).all(1), LABEL == 2)  # beyond the last class
    with pytest.raises(ValueError, match=r"needs labels \[B\], not \(8, 1\)"):
        layer.apply(variables, x, LABEL[:, None], train=False)
    with pytest.raises(ValueError, match="integer"):
        layer.apply(variables, x, LABEL * 1.0, train=False)


def _modulated(key, code, **options):
    """The layer, and its variables with random W and V."""
    layer = ModulatedBatchNorm(kernel_init=nn.initializers.normal(0.5), **options)
    return layer, jax.jit(partial(layer.init, train=True))(key, jnp.zeros((len(code), 1, 1, 2)), code)


def test_the_gain_of_a_code_is_one_and_more(normal, key):
    code, x = normal((8, 3)), 2 + 3 * normal((8, 3, 4, 2))
    layer, variables = _modulated(key, code)
    y, moved = layer.apply(variables, x, code, train=True, mutable=["batch_stats"])
    plain = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    w, v = (np.asarray(variables["params"][name]["kernel"]) for name in ("gain", "bias"))
    scaled = plain * (code @ w).reshape(8, 1, 1, 2) + (code @ v).reshape(8, 1, 1, 2)
    np.testing.assert_allclose(y, plain + scaled, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        moved["batch_stats"]["BatchNorm_0"]["mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-4
    )
    linear = ModulatedBatchNorm(residual=False)
    y, _ = linear.apply(variables, x, code, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, scaled, rtol=1e-3, atol=1e-4)


def test_without_weights_a_code_leaves_plain_batch_norm(normal, key):
    code, x = normal((8, 3)), normal((8, 3, 4, 2))
    for spectral in (False, True):
        layer = ModulatedBatchNorm(spectral=spectral, kernel_init=nn.initializers.zeros)
        y, _ = layer.init_with_output(key, x, code, train=True)
        plain, _ = nn.BatchNorm(False).init_with_output(key, x)
        np.testing.assert_allclose(y, plain, atol=1e-5)
    y, _ = layer.clone(residual=False).init_with_output(key, x, code, train=True)
    np.testing.assert_array_equal(y, 0)  # the control: a gain of W c alone begins at nothing


def test_a_codes_weights_are_normalised(normal, key):
    code, x = normal((8, 3)), normal((8, 2))
    layer = ModulatedBatchNorm(spectral=True, kernel_init=nn.initializers.normal(0.5))
    variables = layer.init(key, x, code, train=True)
    for _ in range(60):
        y, moved = layer.apply(variables, x, code, train=True, mutable=["batch_stats", "spectral"])
        variables = {**variables, **moved}
    w, v = (np.asarray(variables["params"][name]["kernel"]) for name in ("gain", "bias"))
    w, v = (k / np.linalg.norm(k, 2) for k in (w, v))
    plain = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(y, plain * (1 + code @ w) + code @ v, rtol=1e-3, atol=1e-4)


def test_a_codes_statistics_are_the_global_batchs(normal, key):
    code, x = normal((8, 3)), normal((8, 2)) + jnp.arange(8)[:, None]
    _, variables = _modulated(key, code)

    def on_two(axis_name):
        layer = ModulatedBatchNorm(axis_name=axis_name)
        of = lambda x, c: layer.apply(variables, x, c, train=True, mutable=["batch_stats"])[0]  # noqa: E731
        shards = x.reshape(2, 4, 2), code.reshape(2, 4, 3)
        return jax.vmap(of, axis_name="devices")(*shards).reshape(8, 2)

    whole, _ = ModulatedBatchNorm().apply(variables, x, code, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(on_two("devices"), whole, atol=1e-5)
    assert np.abs(on_two(None) - whole).max() > 0.1  # the control: each shard's own
    with pytest.raises(ValueError, match=r"needs codes \[B, K\], not \(4, 3\)"):
        ModulatedBatchNorm().apply(variables, x, code[:4], train=False)


def test_instance_norm_by_hand(normal):
    x = 3 + 2 * normal((4, 5, 6, 3))
    y = instance_norm(x)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(
        y, (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True), atol=1e-4
    )
    linens = nn.GroupNorm(num_groups=None, group_size=1, use_bias=False, use_scale=False, epsilon=1e-5)
    np.testing.assert_allclose(y, linens.apply({}, x), atol=1e-4)
    np.testing.assert_array_equal(instance_norm(x[:, :1, :1]), 0)  # at a single place nothing is left
    assert instance_norm(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_unkept_batch_norm_is_linens_in_training_and_an_examples_own_in_sampling(normal, key):
    layer, x = UnkeptBatchNorm(), 1 + 3 * normal((4, 5, 6, 3))
    params = {"scale": np.array([1.0, 2.0, 0.5], np.float32), "bias": np.array([0.0, -1.0, 3.0], np.float32)}
    shapes = jax.tree.map(jnp.shape, layer.init(key, x, train=True))
    assert shapes == {"params": {"scale": (3,), "bias": (3,)}}
    linens = nn.BatchNorm(use_running_average=False, epsilon=1e-5)
    stats = {"mean": np.zeros(3, np.float32), "var": np.ones(3, np.float32)}
    expected, _ = linens.apply({"params": params, "batch_stats": stats}, x, mutable=["batch_stats"])
    np.testing.assert_allclose(layer.apply({"params": params}, x, train=True), expected, atol=1e-4)
    sampled = layer.apply({"params": params}, x, train=False)
    scale, bias = (params[name].reshape(1, 1, 1, 3) for name in ("scale", "bias"))
    np.testing.assert_allclose(sampled, instance_norm(x) * scale + bias, atol=1e-4)
    np.testing.assert_allclose(layer.apply({"params": params}, x[:1], train=True), sampled[:1], atol=1e-4)
    assert np.abs(sampled - expected).max() > 0.1  # the control: the batch's statistics are others


def test_unkept_batch_norm_over_devices(normal, key):
    x = normal((4, 5, 6, 3))
    layer = UnkeptBatchNorm(axis_name="devices")
    params = UnkeptBatchNorm().init(key, x, train=True)
    whole = UnkeptBatchNorm().apply(params, x, train=True)
    parts = jax.vmap(lambda x: layer.apply(params, x, train=True), axis_name="devices")(
        x.reshape(2, 2, 5, 6, 3)
    )
    np.testing.assert_allclose(parts.reshape(x.shape), whole, atol=1e-5)
