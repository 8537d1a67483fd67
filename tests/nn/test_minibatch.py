from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from jaxgan.nn.minibatch import (
    MinibatchDiscrimination,
    MinibatchMean,
    MinibatchStd,
    minibatch_mean,
    minibatch_std,
    pack,
)


def _discriminate(x, kernel, **options):
    return MinibatchDiscrimination(**options).apply({"params": {"Dense_0": {"kernel": kernel}}}, x)


def test_discrimination_by_hand():
    """One kernel, T = 1: the distances are 0 and log 2, and a copy counts as 1."""
    x = jnp.array([[0.0], [np.log(2)], [np.log(2)]])
    y = _discriminate(x, jnp.ones((1, 1)), kernels=1, dims=1)
    np.testing.assert_allclose(y, [[0, 1], [np.log(2), 1.5], [np.log(2), 1.5]], rtol=1e-6)


def test_discrimination_pair_by_pair(normal, key):
    layer = MinibatchDiscrimination(kernels=4, dims=2)
    x = normal((6, 3))
    kernel = normal((3, 8))
    assert jax.eval_shape(layer.init, key, x)["params"]["Dense_0"]["kernel"].shape == kernel.shape
    y = _discriminate(x, kernel, kernels=4, dims=2)
    m = (x @ kernel).reshape(6, 4, 2)
    expected = np.zeros((6, 4))
    for i in range(6):
        for j in range(6):
            if i != j:
                expected[i] += np.exp(-np.abs(m[i] - m[j]).sum(-1))
    np.testing.assert_array_equal(y[:, :3], x)
    np.testing.assert_allclose(y[:, 3:], expected, rtol=1e-5)
    assert np.abs(y[:, 3:] - (expected + 1)).min() > 0.9  # the control: itself counted


def test_discrimination_keeps_the_digits_of_small_likenesses():
    """exp(-20), which 1 + exp(-20) - 1 would lose in float32."""
    y = _discriminate(jnp.array([[0.0], [20.0]]), jnp.ones((1, 1)), kernels=1, dims=1)
    np.testing.assert_allclose(y[:, 1], np.exp(-20), rtol=1e-5)


def test_std_by_hand():
    """Groups {0, 2} and {1, 3}: the first differs by 1 and 2 about its mean, the second not at all."""
    x = jnp.array([[0, 0], [1, 1], [2, 4], [1, 1]], jnp.float32).reshape(4, 1, 1, 2)
    y = minibatch_std(x, 2)
    assert y.shape == (4, 1, 1, 3)
    np.testing.assert_array_equal(y[..., :2], x)
    np.testing.assert_allclose(y[:, 0, 0, 2], [1.5, 0, 1.5, 0], atol=2e-4)
    # The control: neighbours would be other groups.
    assert np.abs(minibatch_std(x[jnp.array([0, 2, 1, 3])], 2)[0, 0, 0, 2] - 1.5) > 0.4


def test_std_group_by_group(normal):
    x = normal((12, 3, 2, 5))
    y = jax.jit(minibatch_std)(x)
    for i in range(12):
        members = np.stack([x[j] for j in range(12) if j % 3 == i % 3])
        assert len(members) == 4
        np.testing.assert_allclose(y[i, ..., 5], members.std(0).mean(), rtol=3e-4)
    few = jax.jit(minibatch_std)(x[:3])  # less than a group
    np.testing.assert_allclose(few[..., 5], x[:3].std(0).mean(), rtol=3e-4)


def test_equal_images_give_0_and_finite_derivatives():
    x = jnp.full((4, 2, 2, 3), 0.7)
    np.testing.assert_allclose(minibatch_std(x)[..., 3], 0, atol=1e-9)

    def total(f, x):
        return jax.grad(lambda x: (f(x) ** 2).sum() + f(x).sum())(x)

    ours = lambda x: minibatch_std(x)[..., 3]  # noqa: E731
    plain = lambda x: x.std(0)  # noqa: E731
    first = jax.jit(partial(total, ours))
    second = jax.jit(jax.grad(lambda x: (first(x) ** 2).sum()))
    assert np.isfinite(first(x)).all()
    assert np.isfinite(second(x)).all()
    assert np.isnan(total(plain, jnp.zeros((4, 1)))).any()  # the control


def test_gradients_to_order_two(normal):
    with jax.enable_x64(True):
        x = normal((4, 3)).astype(np.float64)
        kernel = normal((3, 4)).astype(np.float64)
        f = jax.jit(partial(_discriminate, kernels=2, dims=2, dtype=jnp.float64))
        check_grads(f, (x, kernel), order=2, modes=["rev"])
        check_grads(jax.jit(partial(minibatch_std, group=2)), (x,), order=2, modes=["rev"])


def _value_and_gradients(layer, axis, x, w):
    """The layer's output, and the gradients of the sum over all devices in x and in what comes before."""

    def total(x, w):
        y = layer(x * w, axis=axis)
        return jnp.tanh(y).sum(), y

    (_, y), (gx, gw) = jax.value_and_grad(total, (0, 1), has_aux=True)(x, w)
    return y, gx, gw


def _discrimination(x, axis):
    return _discriminate(x, jnp.eye(6), kernels=3, dims=2, axis=axis)


@pytest.mark.parametrize(
    ("layer", "batch"), [(_discrimination, 6), (partial(minibatch_std, group=3), 6), (minibatch_std, 4)]
)
def test_two_devices_see_the_global_batch(normal, layer, batch):
    x = normal((batch, 6)) * jnp.arange(1.0, batch + 1)[:, None]
    w = jnp.linspace(0.5, 1.5, 6)[None]

    @partial(jax.pmap, axis_name="devices", devices=jax.devices()[:2])
    def on_two(x):
        y, gx, gw = _value_and_gradients(layer, "devices", x, w)
        return y, gx, lax.psum(gw, "devices")

    y, gx, gw = on_two(x.reshape(2, -1, 6))
    whole = jax.jit(partial(_value_and_gradients, layer, None))(x, w)
    for a, b in zip((y.reshape(batch, -1), gx.reshape(batch, 6), gw[0]), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    alone = layer((x * w)[: batch // 2], axis=None)
    assert np.abs(y[0] - alone).max() > 0.01  # the control: a shard alone


def test_layers_are_initialised_where_no_axis_is_bound(key):
    x = jnp.ones((4, 3))
    jax.eval_shape(MinibatchDiscrimination(axis="devices").init, key, x)
    y, _ = MinibatchStd(axis="devices").init_with_output(key, x)
    np.testing.assert_array_equal(y, minibatch_std(x))
    with pytest.raises(NameError, match="unbound axis name"):
        MinibatchStd(axis="devices").apply({}, x)


def test_pack_by_hand(normal):
    np.testing.assert_array_equal(pack(jnp.arange(8).reshape(4, 2), 2), [[0, 1, 2, 3], [4, 5, 6, 7]])
    x = normal((6, 4, 5, 2))
    y = pack(x, 3)
    assert y.shape == (2, 4, 5, 6)
    for i in range(6):
        np.testing.assert_array_equal(y[i // 3, ..., 2 * (i % 3) : 2 * (i % 3) + 2], x[i])
    np.testing.assert_array_equal(pack(x, 1), x)
    assert np.abs(y - x.reshape(2, 4, 5, 6)).max() > 1  # the control: joined without care


def test_packs_are_the_same_in_shards(normal):
    x = normal((8, 3))
    shards = [pack(shard, 2) for shard in jnp.split(x, 2)]
    np.testing.assert_array_equal(jnp.concatenate(shards), pack(x, 2))


def test_bfloat16_compares_in_float32(normal, key):
    layer = MinibatchDiscrimination(kernels=3, dims=2, dtype=jnp.bfloat16)
    x = normal((4, 6))
    assert jax.eval_shape(layer.init, key, x)["params"]["Dense_0"]["kernel"].dtype == jnp.float32
    kernel = np.linspace(-1, 1, 36, dtype=np.float32).reshape(6, 6)
    half, full = (_discriminate(x, kernel, kernels=3, dims=2, dtype=t) for t in (jnp.bfloat16, jnp.float32))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), full, atol=0.05)
    y = minibatch_std(jnp.array([[200.0], [202.0]], jnp.bfloat16))  # about 201, which it does not have
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y[:, 1].astype(jnp.float32), 1)


def test_what_does_not_fit_is_named(key):
    with pytest.raises(ValueError, match=r"features \[B, F\], not \(2, 4, 4, 3\)"):
        MinibatchDiscrimination().init(key, jnp.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match="batch of 6 is not made of groups of 4"):
        minibatch_std(jnp.zeros((6, 3)))
    with pytest.raises(ValueError, match="batch of 5 is not made of packs of 2"):
        pack(jnp.zeros((5, 3)), 2)
    with pytest.raises(ValueError, match="labels go as one-hot codes"):
        pack(jnp.zeros(4, jnp.int32), 2)


def test_averaging_is_the_formula(normal, key):
    """Choi et al. 2017, section 3.3: each example beside the batch's mean, of a shard the global batch's."""
    x = normal((6, 3))
    y = minibatch_mean(x)
    np.testing.assert_array_equal(y[:, :3], x)
    np.testing.assert_allclose(y[:, 3:], np.tile(x.mean(0), (6, 1)), rtol=1e-5)
    shards = jax.vmap(partial(minibatch_mean, axis="devices"), axis_name="devices")(x.reshape(2, 3, 3))
    np.testing.assert_allclose(shards.reshape(6, 6), y, rtol=1e-5)
    alone = jax.vmap(minibatch_mean)(x.reshape(2, 3, 3)).reshape(6, 6)
    assert np.abs(alone - y).max() > 0.1  # the control: each shard's own
    layer = MinibatchMean("devices")
    np.testing.assert_array_equal(layer.init_with_output(key, x)[0], y)
    with pytest.raises(NameError, match="unbound axis name"):
        layer.apply({}, x)
    with pytest.raises(ValueError, match=r"takes \[B, D\]"):
        minibatch_mean(jnp.zeros((2, 3, 4)))
