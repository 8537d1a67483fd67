from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from jaxgan.nn import conv as module
from jaxgan.nn.conv import Conv, ConvTranspose, conv, conv_transpose


def _data(rank, kernel, seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(keys[0], (2, *(7, 6, 5)[:rank], 3), dtype)
    return x, jax.random.normal(keys[1], (*(kernel,) * rank, 3, 4), dtype) / kernel**rank


def _native(x, w, stride, padding, dilation, groups):
    """XLA's convolution of x padded beforehand: with a negative low side and a positive high one,
    XLA:CPU (jaxlib 0.10.2) convolves wrongly."""
    letters = "DHW"[-(x.ndim - 2) :]
    if isinstance(padding, str):
        extent = [d * (k - 1) + 1 for k, d in zip(w.shape[:-2], dilation, strict=True)]
        padding = lax.padtype_to_pads(x.shape[1:-1], extent, stride, padding)
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)])
    dims = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(
        x, w, stride, "VALID", None, dilation, dimension_numbers=dims, feature_group_count=groups
    )


def _derivatives(f, x, w):
    """The value, both gradients and a gradient of a gradient, as R1 has it."""
    loss = lambda x, w: jnp.tanh(f(x, w)).sum()  # noqa: E731
    penalty = lambda x, w: (jax.grad(loss)(x, w) ** 2).sum()  # noqa: E731
    return f(x, w), jax.grad(loss, (0, 1))(x, w), jax.grad(penalty, (0, 1))(x, w)


def _assert_equal(ours, theirs, x, w, tolerance=3e-5):
    """Within the tolerance of each array's largest entry."""
    both = jax.jit(lambda x, w: [jax.tree.leaves(_derivatives(f, x, w)) for f in (ours, theirs)])(x, w)
    for a, b in zip(*both, strict=True):
        assert a.dtype == x.dtype
        a, b = (np.asarray(v, np.float32) for v in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-3))


@st.composite
def _convolutions(draw):
    rank = draw(st.integers(1, 3))
    per_dimension = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    # 32 channels are where Winograd begins; one a group is depthwise.
    channels = st.sampled_from([1, 2, 32] if rank < 3 and groups == 1 else [1, 2])
    pair = st.tuples(st.integers(-1, 4), st.integers(0, 3))
    return {
        "size": per_dimension(4, 9),
        "kernel": per_dimension(1, 4),
        "stride": per_dimension(1, 3),
        "dilation": draw(st.sampled_from([(1,) * rank, (2,) * rank])),
        "padding": draw(st.sampled_from(["SAME", "VALID"]) | st.tuples(*(pair,) * rank)),
        "groups": groups,
        "channels": (draw(channels), draw(channels)),
        "seed": draw(st.integers(0, 99)),
    }


def _arrays(size, kernel, groups, channels, seed, **_):
    c, o = channels
    keys = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(keys[0], (8, *size, c * groups))
    w = jax.random.normal(keys[1], (*kernel, c, o * groups))
    return x, w / np.sqrt(np.prod(kernel) * c)


def _fits(size, kernel, stride, dilation, padding, **_):
    if padding == "SAME":
        return True
    pads = ((0, 0),) * len(size) if padding == "VALID" else padding
    return all(n + sum(p) >= d * (k - 1) + 1 for n, p, k, d in zip(size, pads, kernel, dilation, strict=True))


WINOGRAD = {
    "size": (8, 7),
    "kernel": (4, 4),
    "stride": (2, 2),
    "dilation": (1, 1),
    "padding": ((1, 1), (2, 0)),
    "groups": 1,
    "channels": (32, 32),
    "seed": 0,
}
DEPTHWISE = {**WINOGRAD, "groups": 3, "channels": (1, 2)}
CROPPED = {**WINOGRAD, "padding": ((-1, 1), (5, 2)), "channels": (2, 3)}
THREE = {**WINOGRAD, "kernel": (3, 3), "stride": (1, 1)}
FORMS = [WINOGRAD, THREE, DEPTHWISE, CROPPED]
LARGE_TILES = {**THREE, "size": (8, 8), "padding": "SAME"}
FEW_ROWS = {**WINOGRAD, "size": (6, 5), "padding": ((1, 1), (2, 0)), "channels": (64, 64)}
ONE_PIXEL = {**WINOGRAD, "size": (4, 4), "padding": "VALID", "channels": (3, 4)}

PLAIN = {**WINOGRAD, "stride": (1, 1), "padding": ((0, 0), (0, 0))}
DETOURS = [{**PLAIN, "channels": (32, 3)}, {**PLAIN, "channels": (3, 24)}]  # of `_canonical_conv`

CRAMPED = [
    {**PLAIN, "size": (4, 3), "padding": ((1, 1), (1, 2)), "channels": (2, 3)},
    {**PLAIN, "size": (3, 2), "padding": ((3, 3), (3, 2)), "channels": (2, 3)},
]

NARROW = [
    {**WINOGRAD, "channels": (3, 32)},
    {**CROPPED, "stride": (1, 1), "dilation": (2, 1), "kernel": (3, 2), "channels": (32, 2)},  # mirrored
]


@settings(deadline=None, max_examples=3)
@given(_convolutions().filter(lambda c: _fits(**c)))
@example(FORMS[0])
@example(FORMS[1])
@example(FORMS[2])
@example(FORMS[3])
@example({**WINOGRAD, "dilation": (2, 1), "groups": 2, "channels": (2, 3)})
@example(DETOURS[0])
@example(DETOURS[1])
@example(CRAMPED[0])
@example(CRAMPED[1])
def test_values_and_two_derivatives(case):
    how = {k: case[k] for k in ("stride", "padding", "dilation", "groups")}
    _assert_equal(lambda x, w: conv(x, w, **how), lambda x, w: _native(x, w, **how), *_arrays(**case))


@settings(deadline=None, max_examples=4)
@given(
    rank=st.integers(1, 3),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["SAME", "VALID", ((0, 2), (1, 0), (3, 1))]),
)
def test_transposed_values_and_two_derivatives(rank, kernel, stride, dilation, padding):
    padding = padding if isinstance(padding, str) else padding[:rank]
    strides, dilations = (stride,) * rank, (dilation,) * rank
    x, w = _data(rank, kernel)
    _assert_equal(
        lambda x, w: conv_transpose(x, w, strides, padding, dilation=dilations),
        lambda x, w: lax.conv_transpose(x, w, strides, padding, rhs_dilation=dilations),
        x,
        w,
    )


@pytest.mark.parametrize("case", FORMS)
def test_bfloat16(case):
    how = {k: case[k] for k in ("stride", "padding", "dilation", "groups")}
    x, w = (a.astype(jnp.bfloat16) for a in _arrays(**case))
    ours, exact = (
        jax.jit(partial(_derivatives, lambda x, w: conv(x, w, **how)))(x.astype(t), w.astype(t))
        for t in (jnp.bfloat16, jnp.float32)
    )
    for a, b in zip(jax.tree.leaves(ours)[:3], jax.tree.leaves(exact)[:3], strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=0, atol=0.04 * np.abs(b).max())


@pytest.mark.parametrize("case", FORMS[::3])
def test_forward_and_reverse_mode_to_order_two(case):
    how = {k: case[k] for k in ("stride", "padding", "dilation", "groups")}
    with jax.enable_x64(True):
        x, w = (a.astype(jnp.float64) for a in _arrays(**case))
        f = jax.jit(lambda x, w: jnp.sin(conv(x, w, **how)).mean((0, 1, 2)))
        check_grads(f, (x, w), order=2, modes=("fwd", "rev"))


def test_hessian_and_linearize():
    x, w = (a.astype(jnp.float32) for a in _data(1, 2))
    x, w = x[:1, :3, :1], w[:, :1, :2]
    f = lambda w: jnp.tanh(conv(x, w, (1,))).sum()  # noqa: E731
    native = lambda w: jnp.tanh(_native(x, w, (1,), "SAME", (1,), 1)).sum()  # noqa: E731

    @jax.jit
    def both(w):
        y, linear = jax.linearize(f, w)
        value, moved = jax.jvp(native, (w,), (w,))
        return (jax.hessian(f)(w), y, linear(w)), (jax.hessian(native)(w), value, moved)

    for a, b in zip(*both(w), strict=True):
        np.testing.assert_allclose(a, b, **({"atol": 1e-5} if a.ndim else {"rtol": 1e-5}))


LAYERS = [
    (Conv, nn.Conv, {"strides": 2}),
    (Conv, nn.Conv, {"padding": "REFLECT", "kernel_dilation": 2}),
    (Conv, nn.Conv, {"padding": "CIRCULAR", "feature_group_count": 3, "features": 6}),
    (Conv, nn.Conv, {"input_dilation": 2, "padding": [(1, 2), (0, 1)], "use_bias": False}),
    (Conv, nn.Conv, {"dtype": jnp.bfloat16, "precision": "highest"}),
    (ConvTranspose, nn.ConvTranspose, {"strides": (2, 2)}),
    (ConvTranspose, nn.ConvTranspose, {"strides": (2, 1), "padding": "VALID", "kernel_dilation": (2, 2)}),
    (ConvTranspose, nn.ConvTranspose, {"strides": (2, 2), "transpose_kernel": True, "padding": 1}),
]


@pytest.mark.parametrize(("ours", "theirs", "how"), LAYERS)
def test_layers_are_linens(ours, theirs, how):
    x, _ = _data(2, 4)
    a, b = (layer(**{"features": 5, "kernel_size": (4, 3), **how}) for layer in (ours, theirs))
    params = b.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, a.init(jax.random.key(1), x), params)
    y, expected = a.apply(params, x), b.apply(params, x)
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(a.apply(params, x[0]), y[0], rtol=1e-5, atol=1e-5)  # no batch axis


@pytest.mark.parametrize("mode", ["REFLECT", "CIRCULAR"])
def test_padding_from_the_image_itself(mode):
    x, w = _data(2, 3)
    padded = jnp.pad(
        x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode={"REFLECT": "reflect", "CIRCULAR": "wrap"}[mode]
    )
    np.testing.assert_allclose(conv(x, w, (1, 1), mode), conv(padded, w, (1, 1), "VALID"), rtol=1e-6)


def test_a_transposed_convolution_is_the_transpose():
    """<conv_transpose(g, w), x> = <g, conv(x, w')> where w' is w flipped, its channels exchanged."""
    g, w = _data(2, 4)
    y = conv_transpose(g, w, (2, 2))
    x = jax.random.normal(jax.random.key(2), y.shape)
    w = jnp.flip(w, (0, 1)).swapaxes(2, 3)
    assert y.shape == (2, 14, 12, 4)
    np.testing.assert_allclose((y * x).sum(), (g * conv(x, w, (2, 2))).sum(), rtol=1e-4)


@pytest.mark.parametrize(("one", "channels"), [(conv, 3), (partial(conv, groups=3), 1), (conv_transpose, 3)])
def test_vmap_over_kernels_examples_or_both(one, channels):
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))
    w = jax.random.normal(jax.random.key(1), (3, 3, channels, 6))
    xs, ws = jnp.stack([x, 2 * x]), jnp.stack([w, 3 * w])
    one = partial(one, stride=(2, 2))
    for f in (
        one,
        lambda x, w: jax.grad(lambda w: (one(x, w) ** 2).sum())(w),
        lambda x, w: jax.grad(lambda x: (one(x, w) ** 2).sum())(x),
        lambda x, w: jax.grad(lambda w: one(x, w).sum())(w),  # the weight product with one operand mapped
        lambda x, w: jax.grad(lambda x: one(x, w).sum())(x),
    ):
        alone = jax.jit(f)
        for axes, args in [((0, None), (xs, w)), ((None, 0), (x, ws)), ((0, 0), (xs, ws))]:
            lanes = jax.jit(jax.vmap(f, axes))(*args)
            for i in range(2):
                lane = [a if d is None else a[i] for a, d in zip(args, axes, strict=True)]
                np.testing.assert_allclose(lanes[i], alone(*lane), rtol=2e-5, atol=2e-5)
    nested = jax.vmap(jax.vmap(one, (None, 0)), (0, None))(xs, ws)
    np.testing.assert_allclose(nested[1, 1], one(2 * x, 3 * w), rtol=2e-5, atol=2e-5)


def _lowered(f, *args, platform):
    return jax.jit(f).trace(*args).lower(lowering_platforms=(platform,)).as_text()


def test_the_platform_is_chosen_when_the_program_is_lowered():
    x, w = _arrays(**WINOGRAD)
    gradient = jax.grad(lambda x, w: (conv(x, w, (2, 2)) ** 2).sum(), (0, 1))
    cpu, tpu = (_lowered(gradient, x, w, platform=p) for p in ("cpu", "tpu"))
    assert "stablehlo.convolution" not in cpu
    assert cpu.count("stablehlo.dot_general") == 3 * 9  # three products of 9 entries
    assert tpu.count("stablehlo.convolution") == 3
    assert "stablehlo.dot_general" not in tpu


def test_lanes_are_a_loop_on_a_cpu_and_one_grouped_convolution_elsewhere():
    x, w = _data(2, 3)
    both = jax.vmap(lambda x, w: conv(x, w, (1, 1)))
    args = jnp.stack([x, x]), jnp.stack([w, w])
    assert "feature_group_count = 2" in _lowered(both, *args, platform="tpu")
    assert "feature_group_count = 2" not in _lowered(both, *args, platform="cpu")


EACH_FORM = [*FORMS[:3], LARGE_TILES, FEW_ROWS, ONE_PIXEL, *NARROW, *DETOURS, *CRAMPED]


@pytest.mark.parametrize(
    ("case", "transposed"),
    [(case, how) for case in EACH_FORM for how in (False, True) if not (how and case["groups"] > 1)],
)
def test_both_lowerings_are_equal(case, transposed):
    """And those of a kernel that is held turned around, with the plain one turned by hand."""
    x, w = _arrays(**case)
    how = [case[k] for k in ("stride", "padding", "dilation", "groups")]
    if isinstance(how[1], str):
        how[1] = tuple(lax.padtype_to_pads(x.shape[1:-1], w.shape[:-2], case["stride"], how[1]))
    geo = module._Geometry(*how, x.shape[1:-1], w.shape[:-2])
    turn = (lambda w: jnp.flip(w, range(w.ndim - 2)).swapaxes(-1, -2)) if transposed else lambda w: w
    g = jax.random.normal(jax.random.key(9), (8, *geo.output, w.shape[-1]))
    for which, (a, b) in enumerate([(x, w), (g, w), (x, g)]):
        native = jax.jit(partial(module._elsewhere, which, geo=geo, precision=None))(a, b)
        held = geo._replace(transposed=transposed)
        for form in (module._on_cpu, module._elsewhere):
            y = jax.jit(partial(form, which, geo=held, precision=None))(a, b if which == 2 else turn(b))
            y = turn(y) if which == 2 else y
            np.testing.assert_allclose(y, native, atol=1e-5 * np.abs(native).max())


def test_the_form_on_a_cpu():
    geo = module._Geometry((2, 2), ((1, 1), (1, 1)), (1, 1), 1, (16, 16), (4, 4))
    form = partial(module._cpu_products, n=64, c=64, o=128, dtype=jnp.float32, precision=None)
    assert form(geo) == module._WINOGRAD[2]
    assert form(geo, dtype=jnp.bfloat16) == module._CANONICAL
    assert form(geo, c=3) == form(geo, c=16) == module._NARROW
    assert form(geo, c=17) == form(geo, o=3) == module._CANONICAL
    assert form(geo._replace(stride=(1, 1)), o=3) == module._MIRRORED
    assert form(geo._replace(stride=(1, 1))) == module._WINOGRAD[2]  # four taps
    assert form(geo, precision=(lax.Precision.HIGHEST,) * 2) == module._CANONICAL
    assert form(geo._replace(dilation=(2, 2))) == module._CANONICAL
    assert form(geo._replace(kernel=(1, 1))) == module._PATCHES
    assert form(geo._replace(groups=64), c=1) == module._DEPTHWISE
    assert form(geo._replace(groups=4)) == module._GROUPED

    # Large tiles while the transformed kernel is worth them, then small ones, then none.
    three = geo._replace(stride=(1, 1), kernel=(3, 3), input=(8, 8))
    assert form(three) == module._WINOGRAD[4]
    assert form(three, n=8, c=512, o=512) == module._WINOGRAD[2]
    assert form(three, n=1, c=512, o=512) == module._PATCHES
    assert form(geo._replace(input=(8, 8)), n=8, c=512, o=512) == module._PATCHES
    assert form(geo._replace(input=(8, 8)), n=2, c=48, o=48) == module._CANONICAL

    cramped = geo._replace(stride=(1, 1), input=(4, 4))  # the pixels of y are fewer than w's
    assert form(cramped) == module._WINOGRAD[2]
    cramped = cramped._replace(dilation=(1, 2), padding=((1, 1), (3, 3)))
    form = partial(form, c=16, o=16)
    assert form(cramped) == module._CANONICAL._replace(conv_input=module._PATCHES.conv_input)
    assert form(cramped._replace(input=(3, 3))).conv == module._PATCHES.conv
    wide = cramped._replace(padding=((3, 3), (6, 6)), input=(3, 3))
    assert form(wide).conv_weight == module._PATCHES.conv_weight


def test_what_does_not_fit_is_named():
    x, w = _data(2, 3)
    wide = jnp.concatenate([x, x[..., :1]], -1)
    with pytest.raises(ValueError, match="x has 4 channels, the kernel takes 3 in each of 1 groups"):
        conv(wide, w, (1, 1))
    with pytest.raises(ValueError, match="x has 4 channels, the kernel takes 3"):
        conv_transpose(wide, w, (1, 1))
    with pytest.raises(ValueError, match="not 'FULL'"):
        conv(x, w, (1, 1), "FULL")
    with pytest.raises(ValueError, match="not 'FULL'"):
        conv_transpose(x, w, (1, 1), "FULL")
    with pytest.raises(ValueError, match="less than a kernel"):
        conv(x[:, :2], w, (1, 1), "VALID")
    with pytest.raises(TypeError, match="one type"):
        conv(x.astype(jnp.bfloat16), w, (1, 1))
