from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from jaxgan.nn import conv as module
from jaxgan.nn.conv import Conv, ConvTranspose, conv, conv_transpose


def _data(rank, kernel, seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(keys[0], (2, *(7, 6, 5)[:rank], 3), dtype)
    return x, jax.random.normal(keys[1], (*(kernel,) * rank, 3, 4), dtype) / kernel**rank


def _native(x, w, stride, padding):
    letters = "DHW"[-(x.ndim - 2) :]
    dims = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(x, w, stride, padding, dimension_numbers=dims)


def _derivatives(f, x, w):
    """The value, both gradients and a gradient of a gradient, as R1 has it."""
    loss = lambda x, w: jnp.tanh(f(x, w)).sum()  # noqa: E731
    penalty = lambda x, w: (jax.grad(loss)(x, w) ** 2).sum()  # noqa: E731
    return f(x, w), jax.grad(loss, (0, 1))(x, w), jax.grad(penalty, (0, 1))(x, w)


def _assert_equal(ours, theirs, x, w):
    for a, b in zip(*(jax.tree.leaves(_derivatives(f, x, w)) for f in (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@settings(deadline=None, max_examples=12)
@given(
    rank=st.integers(1, 3),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["SAME", "VALID", ((0, 2), (1, 0), (3, 1))]),
)
def test_values_and_two_derivatives(rank, kernel, stride, padding):
    if not isinstance(padding, str):
        padding = padding[:rank]
    strides = (stride,) * rank
    x, w = _data(rank, kernel)
    _assert_equal(
        lambda x, w: conv(x, w, strides, padding),
        lambda x, w: _native(x, w, strides, padding),
        x,
        w,
    )
    if isinstance(padding, str):
        _assert_equal(
            lambda x, w: conv_transpose(x, w, strides, padding),
            lambda x, w: lax.conv_transpose(x, w, strides, padding),
            x,
            w,
        )


@pytest.mark.parametrize("product", [conv, conv_transpose])
def test_forward_and_reverse_mode_to_order_two(product):
    with jax.enable_x64(True):
        x, w = _data(2, 4, dtype=jnp.float64)
        x = x[:1, :4, :3]
        f = lambda x, w: jnp.sin(product(x, w, (2, 2), "SAME"))  # noqa: E731
        check_grads(f, (x, w), order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize(("ours", "theirs"), [(Conv, nn.Conv), (ConvTranspose, nn.ConvTranspose)])
def test_layers_are_linens(ours, theirs):
    x, _ = _data(2, 4)
    a, b = (layer(5, (4, 4), (2, 2)) for layer in (ours, theirs))
    params = b.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, a.init(jax.random.key(1), x), params)
    np.testing.assert_allclose(a.apply(params, x), b.apply(params, x), rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_is_the_transpose():
    """<conv_transpose(g, w), x> = <g, conv(x, w')> where w' is w flipped, its channels exchanged."""
    g, w = _data(2, 4)
    y = conv_transpose(g, w, (2, 2))
    x = jax.random.normal(jax.random.key(2), y.shape)
    w = jnp.flip(w, (0, 1)).swapaxes(2, 3)
    assert y.shape == (2, 14, 12, 4)
    np.testing.assert_allclose((y * x).sum(), (g * conv(x, w, (2, 2))).sum(), rtol=1e-4)


def test_vmap_over_kernels_examples_or_both():
    x, w = _data(2, 3)
    xs, ws = jnp.stack([x, 2 * x]), jnp.stack([w, 3 * w])
    for f in (
        partial(conv, stride=(2, 2)),
        partial(conv_transpose, stride=(2, 2)),
        lambda x, w: jax.grad(lambda w: (conv(x, w, (2, 2)) ** 2).sum())(w),
        lambda x, w: jax.grad(lambda x: (conv(x, w, (1, 1)) ** 2).sum())(x),
    ):
        for axes, args in [((0, None), (xs, w)), ((None, 0), (x, ws)), ((0, 0), (xs, ws))]:
            lanes = jax.vmap(f, axes)(*args)
            for i in range(2):
                one = [a if d is None else a[i] for a, d in zip(args, axes, strict=True)]
                np.testing.assert_allclose(lanes[i], f(*one), rtol=2e-5, atol=2e-5)


def test_the_platform_is_chosen_when_the_program_is_lowered():
    x, w = _data(2, 4)
    grad = jax.jit(jax.grad(lambda x: conv(x, w, (2, 2)).sum()))
    dilated = "lhs_dilate = [2, 2]"
    assert dilated in grad.trace(x).lower(lowering_platforms=("tpu",)).as_text()
    assert dilated not in grad.trace(x).lower(lowering_platforms=("cpu",)).as_text()


def test_both_lowerings_are_equal():
    for stride in (1, 2, 3):
        geo = module._Geometry((stride,) * 2, ((1, 2), (0, 1)), (8, 7), (4, 3))
        w = jax.random.normal(jax.random.key(0), (4, 3, 3, 5))
        g = jax.random.normal(jax.random.key(1), (2, *geo.output, 5))
        both = [f(g, w, geo=geo, precision=None)
                for f in (module._conv_input_native, module._conv_input_cpu)]  # fmt: skip
        np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)


def test_bfloat16_keeps_its_type():
    x, w = (a.astype(jnp.bfloat16) for a in _data(2, 4))
    y, grads = jax.value_and_grad(lambda w: conv(x, w, (2, 2)).astype(jnp.float32).sum())(w)
    assert grads.dtype == jnp.bfloat16
    assert conv(x, w, (2, 2)).dtype == jnp.bfloat16
    exact = conv(x.astype(jnp.float32), w.astype(jnp.float32), (2, 2)).sum()
    np.testing.assert_allclose(y, exact, rtol=0.03, atol=0.3)


def test_channels_that_do_not_fit_are_named():
    x, w = _data(2, 3)
    with pytest.raises(ValueError, match="x has 4 channels and the kernel takes 3"):
        conv(jnp.concatenate([x, x[..., :1]], -1), w, (1, 1))
    with pytest.raises(ValueError, match="x has 4 channels, the kernel takes 3"):
        conv_transpose(jnp.concatenate([x, x[..., :1]], -1), w, (1, 1))
    with pytest.raises(ValueError, match="'SAME' or 'VALID', not 'FULL'"):
        conv_transpose(x, w, (1, 1), "FULL")
