"""Convolutions that are fast inside `lax.scan`, also on a CPU.

XLA:CPU runs a convolution fast in one form only (NHWC with HWIO to NHWC). Autodiff's weight gradient
swaps batch and feature dimensions instead, and inside a loop that form falls to a naive loop nest,
tens to hundreds of times slower. So a convolution, its transpose in the input and its transpose in
the weights are three primitives here. They come from one trilinear form, <g, conv(x, w)>, and the
derivatives of each are the other two, so derivatives of any order, forward or reverse, stay within
the three. How each is computed is chosen when the program is lowered: on GPU and TPU as XLA's own
convolution and its own gradients, on a CPU by `_cpu_products`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxgan.nn import winograd


class _Geometry(NamedTuple):
    """What the three arrays' shapes do not tell alone; spatial entries only, one per dimension."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]  # of the kernel
    groups: int
    input: tuple[int, ...]
    kernel: tuple[int, ...]

    @property
    def extent(self):
        """The kernel's size with its holes."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def output(self):
        sizes = zip(self.input, self.padding, self.extent, self.stride, strict=True)
        return tuple((n + lo + hi - k) // s + 1 for n, (lo, hi), k, s in sizes)


class _Products(NamedTuple):
    """The three products, each (array, array, geometry, precision) -> array."""

    conv: Callable  # x [N, *input, C], w [*kernel, C / groups, O] -> y [N, *output, O]
    conv_input: Callable  # g as y, w -> as x
    conv_weight: Callable  # x, g -> as w


def _shapes(a, b, geo):
    """The products' shapes, in the same order, given two of the arrays."""
    return (
        (a.shape[0], *geo.output, b.shape[-1]),
        (a.shape[0], *geo.input, b.shape[-2] * geo.groups),
        (*geo.kernel, a.shape[-1] // geo.groups, b.shape[-1]),
    )


def _with_transposes(forward: Callable) -> _Products:
    """The three products of one that is written out."""

    def conv_input(g, w, geo, precision):
        x = jax.ShapeDtypeStruct(_shapes(g, w, geo)[1], g.dtype)
        return jax.linear_transpose(lambda x: forward(x, w, geo, precision), x)(g)[0]

    def conv_weight(x, g, geo, precision):
        w = jax.ShapeDtypeStruct(_shapes(x, g, geo)[2], x.dtype)
        return jax.linear_transpose(lambda w: forward(x, w, geo, precision), w)(g)[0]

    return _Products(forward, conv_input, conv_weight)


def _pad(x, padding):
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)])


def _dot(x, w, *, precision, stride=None, padding, x_dilation=None, w_dilation=None, groups=1):
    """XLA's convolution in canonical form."""
    rank = x.ndim - 2
    letters = "DHW"[-rank:]
    return lax.conv_general_dilated(
        x,
        w,
        stride or (1,) * rank,
        padding,
        x_dilation,
        w_dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=x.dtype,
    )


def _native(x, w, geo, precision):
    return _dot(
        x,
        w,
        stride=geo.stride,
        padding=geo.padding,
        w_dilation=geo.dilation,
        groups=geo.groups,
        precision=precision,
    )


_NATIVE = _with_transposes(_native)


def _cropped(x, padding):
    """x without what negative padding takes away, and the padding that is left: with a negative
    low and a positive high side, XLA:CPU (jaxlib 0.10.2) computes a convolution wrongly."""
    x = _pad(x, [(min(lo, 0), min(hi, 0)) for lo, hi in padding])
    return x, [(max(lo, 0), max(hi, 0)) for lo, hi in padding]


def _flip(w):
    return jnp.flip(w, range(w.ndim - 2))


def _canonical_conv(x, w, geo, precision):
    """y[n, p, o] = sum over k, c of x[n, stride p + dilation k - low, c] w[k, c, o].

    Two detours around slow cases of XLA:CPU (jaxlib 0.10.2, two cores with AVX-512): an odd number of
    channels gets one of zeros, which for 17 to 32 outputs is 2 to 11 times as fast, and what is not padded
    one more column of outputs, which for few outputs is 3 to 22 times.
    """
    x, padding = _cropped(x, geo.padding)
    c, o = w.shape[-2:]
    if c % 2 and c > 1 and 16 < o <= 32:
        x, w = (
            jnp.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, 1)]),
            jnp.pad(w, [*[(0, 0)] * (w.ndim - 2), (0, 1), (0, 0)]),
        )
    more = o < 8 and c >= 24 and geo.stride[-1] == 1 and not any(map(any, padding))
    if more:
        padding[-1] = (0, 1)
    y = _dot(x, w, stride=geo.stride, padding=padding, w_dilation=geo.dilation, precision=precision)
    return y[..., :-1, :] if more else y


def _canonical_input(g, w, geo, precision):
    """Without input dilation: every phase of the stride is made by one convolution with
    stride-times as many channels, and the phases are interleaved."""
    stride = geo.stride
    if all(s == 1 for s in stride) or any(d > 1 for d in geo.dilation):
        padding = [
            (k - 1 - lo, n - (s * (p - 1) + 1) + lo)
            for n, p, k, s, (lo, _) in zip(
                geo.input, geo.output, geo.extent, stride, geo.padding, strict=True
            )
        ]
        if all(s == 1 for s in stride):
            g, padding = _cropped(g, padding)
        w = jnp.swapaxes(_flip(w), -1, -2)
        return _dot(g, w, padding=padding, x_dilation=stride, w_dilation=geo.dilation, precision=precision)
    rank, (c, o) = len(stride), w.shape[-2:]
    taps = [-(-k // s) for k, s in zip(geo.kernel, stride, strict=True)]
    fill = [(0, t * s - k) for t, s, k in zip(taps, stride, geo.kernel, strict=True)]
    w = jnp.pad(w, [*fill, (0, 0), (0, 0)])
    w = w.reshape(*(size for pair in zip(taps, stride, strict=True) for size in pair), c, o)
    order = [*range(0, 2 * rank, 2), 2 * rank + 1, *range(1, 2 * rank, 2), 2 * rank]
    w = _flip(w.transpose(order).reshape(*taps, o, -1))  # [*taps, O, *stride * C]
    y = _dot(g, w, padding=[(t - 1, t - 1) for t in taps], precision=precision)
    n, *cells, _ = y.shape
    y = y.reshape(n, *cells, *stride, c)
    order = [0, *(a for d in range(rank) for a in (1 + d, 1 + rank + d)), 2 * rank + 1]
    y = y.transpose(order).reshape(n, *(m * s for m, s in zip(cells, stride, strict=True)), c)
    return _pad(
        y,
        [
            (-lo, lo + size - have)
            for (lo, _), size, have in zip(geo.padding, geo.input, y.shape[1:-1], strict=True)
        ],
    )


def _canonical_weight(x, g, geo, precision):
    """Channels as the batch, examples as the features, stride and dilation exchanged."""
    padding = [
        (lo, d * (k - 1) + s * (p - 1) + 1 - n - lo)
        for n, p, k, s, d, (lo, _) in zip(
            geo.input, geo.output, geo.kernel, geo.stride, geo.dilation, geo.padding, strict=True
        )
    ]
    x, padding = _cropped(x, padding)
    y = _dot(
        jnp.swapaxes(x, 0, -1),
        jnp.moveaxis(g, 0, -2),
        stride=geo.dilation,
        padding=padding,
        w_dilation=geo.stride,
        precision=precision,
    )
    return jnp.moveaxis(y, 0, -2)


_CANONICAL = _Products(_canonical_conv, _canonical_input, _canonical_weight)


def _by_winograd(product):
    def run(a, b, geo, precision):
        sizes = zip(geo.input, geo.kernel, geo.stride, geo.padding, geo.output, strict=True)
        axes = [winograd.Axis(n, k, s, lo, out) for n, k, s, (lo, _), out in sizes]
        return product(a, b, axes, precision)

    return run


_WINOGRAD = _Products(*map(_by_winograd, (winograd.conv, winograd.conv_input, winograd.conv_weight)))


def _taps(x, geo):
    """For each entry k of the kernel, what it meets: x[stride p + dilation k - low], [N, *output, C]."""
    x = _pad(x, geo.padding)
    for k in _indices(geo.kernel):
        start = [i * d for i, d in zip(k, geo.dilation, strict=True)]
        stop = [a + s * (p - 1) + 1 for a, s, p in zip(start, geo.stride, geo.output, strict=True)]
        yield k, lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *geo.stride, 1))


def _indices(shape):
    return [()] if not shape else [(i, *rest) for i in range(shape[0]) for rest in _indices(shape[1:])]


def _tapwise_conv(x, w, geo, precision):
    """One matrix product for each entry of the kernel."""
    return sum(jnp.einsum("...c,co->...o", tap, w[k], precision=precision) for k, tap in _taps(x, geo))


_TAPWISE = _with_transposes(_tapwise_conv)


def _patches_weight(x, g, geo, precision):
    """One matrix product of the patches of the narrower side with the other. Those of g, at each place of x,
    are what x meets in the convolution that slides over g to make x."""
    if x.shape[-1] <= g.shape[-1]:
        patches, other, narrow = _taps(x, geo), g, x
    else:
        edges = zip(geo.extent, geo.input, geo.output, geo.padding, strict=True)
        padding = tuple((k - 1 - lo, n - p + lo) for k, n, p, (lo, _) in edges)
        patches, other, narrow = _taps(g, geo._replace(input=geo.output, padding=padding)), x, g
    # The barrier has them written once; fused into the product they would be gathered for each block of it.
    patches = lax.optimization_barrier(jnp.concatenate([tap for _, tap in patches], -1))
    w = jnp.einsum("...k,...o->ko", patches, other, precision=precision)
    w = w.reshape(*geo.kernel, narrow.shape[-1], other.shape[-1])
    return w if narrow is x else jnp.swapaxes(_flip(w), -1, -2)


_NARROW = _Products(_canonical_conv, _canonical_input, _patches_weight)


def _patches_conv(x, w, geo, precision):
    """One matrix product of what all entries of the kernel meet."""
    patches = jnp.concatenate([tap for _, tap in _taps(x, geo)], -1)
    return jnp.einsum("...k,ko->...o", patches, w.reshape(-1, w.shape[-1]), precision=precision)


_PATCHES = _with_transposes(_patches_conv)


def _depthwise_conv(x, w, geo, precision):
    """Each channel alone, `O / C` outputs of each: products without a sum over channels."""
    w = w.reshape(*geo.kernel, *(1,) * (x.ndim - 1), geo.groups, -1)
    y = sum(tap[..., None] * w[k] for k, tap in _taps(x, geo))
    return y.reshape(*y.shape[:-2], -1)


_DEPTHWISE = _with_transposes(_depthwise_conv)


def _over_groups(which: int):
    """Group after group: XLA:CPU computes a grouped convolution an order of magnitude slower."""

    def run(a, b, geo, precision):
        a, b = (jnp.moveaxis(x.reshape(*x.shape[:-1], geo.groups, -1), -2, 0) for x in (a, b))
        one = geo._replace(groups=1)
        y = lax.map(lambda ab: _on_cpu(which, *ab, geo=one, precision=precision), (a, b))
        y = jnp.moveaxis(y, 0, -2)
        return y.reshape(*y.shape[:-2], -1)

    return run


_GROUPED = _Products(*map(_over_groups, range(3)))


def _cpu_products(geo: _Geometry, n: int, c: int, o: int, dtype, precision) -> _Products:
    """The fastest form on a CPU, for n examples with c and o channels a group.

    Milliseconds in a scan on two cores with AVX-512 (float32, jaxlib 0.10.2), as forward + input +
    weight, of the canonical form and of the one that is taken:

        1x1, [32,32,32,64] to 128              3.9 + 6.4 + 12.7    1.9 + 3.0 + 5.0  tapwise
        4x4, one pixel out, [32,2,2,256]       5.6 + 2.1 + 0.2     0.7 + 0.5 + 0.2  tapwise
        4x4 stride 2, [64,16,16,64] to 128     4.9 + 4.4 + 5.5     2.2 + 2.3 + 4.6  Winograd
        3x3, [32,16,16,128] to 128             9.4 + 6.9 + 13.2    4.4 + 4.7 + 5.3  Winograd
        3x3, [32,32,32,16] to 16               1.0 + 1.1 + 1.5     itself; Winograd 1.9 + 1.5 + 2.2
        9x9, [8,32,32,3] to 64                 1.2 + 2.4 + 1.5     itself; tapwise 20 + 3.1 + 2.5
        3x3, [32,32,32,64] to 3                            11.8                4.7  patches
        4x4 stride 2, [64,32,32,3] to 64                    6.2                3.8  patches
        9x9, [4,96,96,3] to 64                             30.4    itself; patches 33
        4x4, padded by 1, [8,4,4,256] to 512   3.2 + 117 + 3.7     3.2 + 1.8 + 3.7  input by patches
    """
    if geo.groups > 1:
        return _DEPTHWISE if c == 1 else _GROUPED
    if math.prod(geo.kernel) == 1 or math.prod(geo.output) == 1:
        return _TAPWISE
    taps = [-(-k // s) for k, s in zip(geo.kernel, geo.stride, strict=True)]
    tiles = n * math.prod(-(-p // 2) for p in geo.output)
    few_products = (
        all(t in winograd.TAPS for t in taps)
        and all(d == 1 for d in geo.dilation)
        and min(c, o) >= 32
        and (not isinstance(tiles, int) or tiles >= 32)  # an exported program has any number
        and dtype in (jnp.float32, jnp.float64)  # sums of inputs would lose half-precision's bits
        and lax.Precision.HIGHEST not in (precision or ())
    )
    if few_products:
        return _WINOGRAD
    # Patches up to twice as wide as the other side; those of y are not x's neighbours at a stride.
    small = math.prod(geo.kernel) * min(c, o) <= 2 * max(c, o)
    form = _NARROW if small and (c <= o or all(s == 1 for s in geo.stride)) else _CANONICAL
    # XLA exchanges image and kernel where the kernel is the larger, and then loops naively.
    image, kernel, answer = map(math.prod, (geo.input, geo.kernel, geo.output))
    larger = kernel > image, math.prod(taps) > answer, answer > image
    return _Products(*(_PATCHES[i] if larger[i] else form[i] for i in range(3)))


def _on_cpu(which: int, a, b, *, geo, precision):
    c = a.shape[-1] // geo.groups if which == 2 else b.shape[-2]
    form = _cpu_products(geo, a.shape[0], c, b.shape[-1], a.dtype, precision)
    return form[which](a, b, geo, precision)


def _elsewhere(which: int, a, b, *, geo, precision):
    return _NATIVE[which](a, b, geo, precision)


# With one kernel for all lanes, lanes are more examples; with one input for all, more features. For
# each product and operand: the operand's axis that takes up the lanes, and the result's.
_MERGED = (((0, 0), (-1, -1)), ((0, 0), (-2, -1)), ((-1, -2), (-1, -1)))


def _merge(x, lanes_at: int, axis: int):
    """Lanes first into an axis of what is left."""
    axis %= x.ndim - 1
    x = jnp.moveaxis(x, lanes_at, axis)
    return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])


def _primitive(name: str, which: int) -> Primitive:
    """A product with a static `lanes`: None, or how many pairs of arrays there are, along axis 0."""
    p = Primitive(name)

    @functools.partial(jax.jit, static_argnames=("lanes", "geo", "precision"))
    def eager(a, b, **static):
        return p.bind(a, b, **static)

    def abstract(a, b, *, lanes, geo, precision):
        one = [jax.ShapeDtypeStruct(x.shape if lanes is None else x.shape[1:], x.dtype) for x in (a, b)]
        shape = _shapes(*one, geo)[which]
        return ShapedArray(shape if lanes is None else (lanes, *shape), a.dtype)

    def on_cpu(a, b, *, lanes, **static):
        product = functools.partial(_on_cpu, which, **static)
        # XLA would make a grouped convolution of the lanes.
        return product(a, b) if lanes is None else lax.map(lambda ab: product(*ab), (a, b))

    def elsewhere(a, b, *, lanes, **static):
        product = functools.partial(_elsewhere, which, **static)
        return product(a, b) if lanes is None else jax.vmap(product)(a, b)

    def batch(args, axes, *, lanes, **static):
        mapped = [d is not None for d in axes]
        if lanes is None and static["geo"].groups == 1 and not all(mapped):
            operand = mapped.index(True)
            axis, out_axis = _MERGED[which][operand]
            count = args[operand].shape[axes[operand]]
            args = [_merge(x, d, axis) if m else x for x, d, m in zip(args, axes, mapped, strict=True)]
            y = p.bind(*args, lanes=None, **static)
            out_axis %= y.ndim
            return y.reshape(*y.shape[:out_axis], count, -1, *y.shape[out_axis + 1 :]), out_axis
        count = next(x.shape[d] for x, d, m in zip(args, axes, mapped, strict=True) if m)
        args = [
            jnp.moveaxis(x, d, 0) if m else jnp.broadcast_to(x, (count, *x.shape))
            for x, d, m in zip(args, axes, mapped, strict=True)
        ]
        if lanes is None:
            return p.bind(*args, lanes=count, **static), 0
        args = [x.reshape(-1, *x.shape[2:]) for x in args]
        y = p.bind(*args, lanes=count * lanes, **static)
        return y.reshape(count, lanes, *y.shape[1:]), 0

    p.def_impl(eager)
    p.def_abstract_eval(abstract)
    mlir.register_lowering(p, mlir.lower_fun(elsewhere, multiple_results=False))
    mlir.register_lowering(p, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")
    batching.primitive_batchers[p] = batch
    return p


_conv_p, _input_p, _weight_p = (_primitive(name, i) for i, name in enumerate(_Products._fields))

ad.defbilinear(
    _conv_p,
    lambda ct, x, w, **static: _input_p.bind(ct, w, **static),
    lambda ct, x, w, **static: _weight_p.bind(x, ct, **static),
)
ad.defbilinear(
    _input_p,
    lambda ct, g, w, **static: _conv_p.bind(ct, w, **static),
    lambda ct, g, w, **static: _weight_p.bind(ct, g, **static),
)
ad.defbilinear(
    _weight_p,
    lambda ct, x, g, **static: _input_p.bind(g, ct, **static),
    lambda ct, x, g, **static: _conv_p.bind(x, ct, **static),
)


def _bind(p, a, b, geo, precision):
    if a.dtype != b.dtype:
        raise TypeError(f"a convolution's arrays have one type, not {a.dtype} and {b.dtype}")
    if precision is not None:
        pair = precision if isinstance(precision, tuple) else (precision,) * 2
        precision = tuple(map(lax.Precision, pair))
    return p.bind(a, b, lanes=None, geo=geo, precision=precision)


Padding = str | Sequence[tuple[int, int]]

_MODES = {"REFLECT": "reflect", "CIRCULAR": "wrap"}


def conv(
    x,
    w,
    stride: Sequence[int],
    padding: Padding = "SAME",
    *,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    precision=None,
):
    """Convolution (cross-correlation): [N, *spatial, C], [*kernel, C / groups, O] -> [N, *out, O].

    On a CPU, float32 convolutions with enough channels are computed with fewer multiplications
    (`jaxgan.nn.winograd`, with its error); ask for `precision="highest"` to have the plain sum.

    Args:
      stride: one integer a spatial dimension.
      padding: "SAME", "VALID", "REFLECT" and "CIRCULAR" (SAME's sizes at stride 1, filled from x), or
        a (low, high) pair a dimension.
      dilation: of the kernel, one integer a dimension.
      precision: as `lax.conv_general_dilated` takes it.

    Raises:
      ValueError: if the channels of x and w do not fit, or the padding is unknown.
      TypeError: if the arrays' types differ.
    """
    spatial, kernel, stride = x.shape[1:-1], w.shape[:-2], tuple(stride)
    if x.shape[-1] != w.shape[-2] * groups or w.shape[-1] % groups:
        raise ValueError(
            f"conv: x has {x.shape[-1]} channels, the kernel takes {w.shape[-2]} in each of "
            f"{groups} groups and makes {w.shape[-1]}"
        )
    dilation = tuple(dilation or (1,) * len(spatial))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(padding, str) and padding in _MODES:
        edges = [(0, 0), *(((k - 1) // 2, k // 2) for k in extent), (0, 0)]
        x = jnp.pad(x, edges, mode=_MODES[padding])
        spatial, padding = x.shape[1:-1], "VALID"
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise ValueError(f"conv: padding is SAME, VALID, REFLECT, CIRCULAR or pairs, not {padding!r}")
        padding = lax.padtype_to_pads(spatial, extent, stride, padding)
    padding = tuple((int(lo), int(hi)) for lo, hi in padding)
    geo = _Geometry(stride, padding, dilation, groups, spatial, kernel)
    if any(p < 1 for p in geo.output):
        raise ValueError(f"conv: x of {spatial}, padded by {padding}, is less than a kernel of {extent}")
    return _bind(_conv_p, x, w, geo, precision)


def conv_transpose(
    x,
    w,
    stride: Sequence[int],
    padding: Padding = "SAME",
    *,
    dilation: Sequence[int] | None = None,
    precision=None,
):
    """Transposed convolution as `lax.conv_transpose` defines it: x [N, *spatial, C] dilated by the
    stride and padded, then w [*kernel, C, O] slid over it unflipped.

    Args:
      padding: "SAME" (stride times x's size), "VALID", or what the dilated x is padded with, a
        (low, high) pair a dimension.

    Raises:
      ValueError: if the channels of x and w differ or the padding is unknown.
      TypeError: if the arrays' types differ.
    """
    if x.shape[-1] != w.shape[-2]:
        raise ValueError(f"conv_transpose: x has {x.shape[-1]} channels, the kernel takes {w.shape[-2]}")
    kernel, stride = w.shape[:-2], tuple(stride)
    dilation = tuple(dilation or (1,) * len(kernel))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "VALID":
        padding = [(k - 1, max(k, s) - 1) for k, s in zip(extent, stride, strict=True)]
    elif padding == "SAME":  # lax's rule
        low = [k - 1 if s > k - 1 else -(-(k + s - 2) // 2) for k, s in zip(extent, stride, strict=True)]
        padding = [(lo, k + s - 2 - lo) for lo, k, s in zip(low, extent, stride, strict=True)]
    elif isinstance(padding, str):
        raise ValueError(f"conv_transpose: padding is SAME, VALID or pairs, not {padding!r}")
    pads = tuple((k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(extent, padding, strict=True))
    sizes = zip(x.shape[1:-1], stride, padding, extent, strict=True)
    sizes = tuple(s * (n - 1) + lo + hi - k + 2 for n, s, (lo, hi), k in sizes)
    if any(n < 1 for n in sizes):
        raise ValueError(f"conv_transpose: nothing is left of x, {x.shape[1:-1]}, with padding {padding}")
    geo = _Geometry(stride, pads, dilation, 1, sizes, kernel)
    return _bind(_input_p, x, jnp.swapaxes(_flip(w), -1, -2), geo, precision)


def _for_linen(
    x,
    w,
    stride,
    padding,
    *,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    precision,
):
    """`conv` with the arguments by which linen calls `lax.conv_general_dilated`."""
    edges = [(0, 0, 0), *((0, 0, d - 1) for d in lhs_dilation), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), edges)
    return conv(x, w, stride, padding, dilation=rhs_dilation, groups=feature_group_count, precision=precision)


class Conv(nn.Conv):
    """`flax.linen.Conv` on this module's convolution: the same arguments, parameters and values."""

    conv_general_dilated: Callable = _for_linen


class ConvTranspose(nn.ConvTranspose):
    """`flax.linen.ConvTranspose`, likewise; "CIRCULAR" padding is not supported."""

    @nn.compact
    def __call__(self, x):
        rank = 1 if isinstance(self.kernel_size, int) else len(self.kernel_size)

        def per_dimension(value):
            return (value,) * rank if isinstance(value, int) else tuple(value or (1,) * rank)

        batch, x = x.shape[: x.ndim - rank - 1], x.reshape(-1, *x.shape[x.ndim - rank - 1 :])
        channels = (x.shape[-1], self.features)
        shape = (*per_dimension(self.kernel_size), *(channels[::-1] if self.transpose_kernel else channels))
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        if self.mask is not None:
            kernel = kernel * self.mask
        x, kernel, bias = self.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.transpose_kernel:
            kernel = jnp.swapaxes(_flip(kernel), -1, -2)
        padding = nn.linear.canonicalize_padding(self.padding, rank)
        y = conv_transpose(
            x,
            kernel,
            per_dimension(self.strides),
            padding,
            dilation=per_dimension(self.kernel_dilation),
            precision=self.precision,
        )
        y = y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
        return y.reshape(*batch, *y.shape[1:])
