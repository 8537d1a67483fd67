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
    # w is held as a transposed convolution has it: turned around, [*kernel, O, C]. To turn it back would be
    # slower than all of Adam on it.
    transposed: bool = False

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


def _channels(which: int, a, b, geo) -> tuple[int, int]:
    """(C / groups, O), given two of the arrays."""
    if which == 2:
        return a.shape[-1] // geo.groups, b.shape[-1]
    return b.shape[:-3:-1] if geo.transposed else b.shape[-2:]


def _shape(which: int, a, b, geo) -> tuple[int, ...]:
    """A product's shape."""
    c, o = _channels(which, a, b, geo)
    if which == 2:
        return (*geo.kernel, o, c) if geo.transposed else (*geo.kernel, c, o)
    return (a.shape[0], *geo.output, o) if which == 0 else (a.shape[0], *geo.input, c * geo.groups)


def _with_transposes(forward: Callable) -> _Products:
    """The three products of one that is written out."""

    def conv_input(g, w, geo, precision):
        x = jax.ShapeDtypeStruct(_shape(1, g, w, geo), g.dtype)
        return jax.linear_transpose(lambda x: forward(x, w, geo, precision), x)(g)[0]

    def conv_weight(x, g, geo, precision):
        w = jax.ShapeDtypeStruct(_shape(2, x, g, geo), x.dtype)
        return jax.linear_transpose(lambda w: forward(x, w, geo, precision), w)(g)[0]

    return _Products(forward, conv_input, conv_weight)


def _turn(w):
    """A convolution's kernel as the transposed convolution's, and the reverse."""
    return jnp.swapaxes(_flip(w), -1, -2)


def _turned_back(products: _Products) -> _Products:
    """Products that know a convolution's kernel alone."""

    def of(which, product):
        def run(a, b, geo, precision):
            if not geo.transposed:
                return product(a, b, geo, precision)
            geo = geo._replace(transposed=False)
            if which == 2:
                return _turn(product(a, b, geo, precision))
            return product(a, _turn(b), geo, precision)

        return run

    return _Products(*(of(*each) for each in enumerate(products)))


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


_NATIVE = _turned_back(_with_transposes(_native))


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
        return _dot(
            g, _turn(w), padding=padding, x_dilation=stride, w_dilation=geo.dilation, precision=precision
        )
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


_CANONICAL = _turned_back(_Products(_canonical_conv, _canonical_input, _canonical_weight))


def _axes(geo, tile):
    sizes = zip(geo.input, geo.kernel, geo.stride, geo.padding, geo.output, strict=True)
    return [winograd.Axis(n, k, s, lo, out, tile) for n, k, s, (lo, _), out in sizes]


def _by_winograd(tile: int) -> _Products:
    def of(product):
        return lambda a, b, geo, precision: product(a, b, _axes(geo, tile), geo.transposed, precision)

    return _Products(*map(of, (winograd.conv, winograd.conv_input, winograd.conv_weight)))


_WINOGRAD = {tile: _by_winograd(tile) for tile in (2, 4)}


def _taps(x, geo):
    """For each entry k of the kernel, what it meets: x[stride p + dilation k - low], [N, *output, C]."""
    x = _pad(x, geo.padding)
    for k in _indices(geo.kernel):
        start = [i * d for i, d in zip(k, geo.dilation, strict=True)]
        stop = [a + s * (p - 1) + 1 for a, s, p in zip(start, geo.stride, geo.output, strict=True)]
        yield k, lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *geo.stride, 1))


def _indices(shape):
    return [()] if not shape else [(i, *rest) for i in range(shape[0]) for rest in _indices(shape[1:])]


def _patches(x, geo):
    """What all entries of the kernel meet, side by side in the order that w has: [N, *output, kernel * C]."""
    taps = [tap for _, tap in _taps(x, geo)]
    return jnp.concatenate(taps[::-1] if geo.transposed else taps, -1)


def _patches_conv(x, w, geo, precision):
    """One matrix product."""
    if geo.transposed:
        w = jnp.moveaxis(w.reshape(-1, *w.shape[-2:]), 0, 1)  # [O, kernel, C]
        return jnp.einsum("...k,ok->...o", _patches(x, geo), w.reshape(len(w), -1), precision=precision)
    return jnp.einsum("...k,ko->...o", _patches(x, geo), w.reshape(-1, w.shape[-1]), precision=precision)


def _patches_input(g, w, geo, precision):
    """One matrix product, of a kernel that is turned around one for each of its entries: no copy of it."""
    if geo.transposed:
        w = w.reshape(-1, *w.shape[-2:])
        each = jnp.einsum("k...o,koc->k...c", jnp.broadcast_to(g, (len(w), *g.shape)), w, precision=precision)
        patches = jnp.concatenate(list(each), -1)
    else:
        patches = jnp.einsum("...o,ko->...k", g, w.reshape(-1, w.shape[-1]), precision=precision)
    x = jax.ShapeDtypeStruct(_shape(1, g, w, geo), g.dtype)
    return jax.linear_transpose(lambda x: _patches(x, geo), x)(patches)[0]


def _patches_weight(x, g, geo, precision):
    """One matrix product of the patches of x with g."""
    patches = _patches(x, geo)
    if math.prod(geo.kernel) > 1:
        # The barrier has them written once; fused into the product they would be gathered for each block.
        patches = lax.optimization_barrier(patches)
    c, o = x.shape[-1], g.shape[-1]
    if geo.transposed:
        w = jnp.einsum("...o,...k->ok", g, patches, precision=precision)
        return jnp.swapaxes(w.reshape(o, -1, c), 0, 1).reshape(*geo.kernel, o, c)
    w = jnp.einsum("...k,...o->ko", patches, g, precision=precision)
    return w.reshape(*geo.kernel, c, o)


def _mirrored_weight(x, g, geo, precision):
    """As of the convolution that slides over g, padded, to make x: faster where g is the narrower."""
    edges = zip(geo.extent, geo.input, geo.output, geo.padding, strict=True)
    g = _pad(g, [(k - 1 - lo, n - p + lo) for k, n, p, (lo, _) in edges])
    mirror = geo._replace(input=g.shape[1:-1], padding=((0, 0),) * len(geo.kernel))
    return _turn(_canonical_weight(g, x, mirror, precision))


_PATCHES = _Products(_patches_conv, _patches_input, _patches_weight)
_NARROW = _CANONICAL._replace(conv_weight=_patches_weight)
_MIRRORED = _turned_back(_Products(_canonical_conv, _canonical_input, _mirrored_weight))


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

    Milliseconds in a scan on two cores with AVX-512 (AMD EPYC; float32, jaxlib 0.10.2), as forward + input +
    weight, of the canonical form and of the one that is taken:

        1x1, [32,32,32,64] to 128               9.0 + 10.3 + 19.8   3.9 + 5.0 + 7.4  patches
        4x4 stride 2, [8,2,2,512] to 512        17.4 + 8.4 + 1.1    1.6 + 1.8 + 0.5  patches
        4x4 stride 2, [8,8,8,512] to 512        10.4 + 14.9 + 10.9  7.0 + 7.3 + 6.2  patches
        4x4 stride 2, [64,16,16,64] to 128      6.1 + 6.9 + 9.7     4.3 + 4.0 + 5.5  Winograd
        4x4, [8,16,16,128] to 256               9.0 + 10.5 + 9.2    5.6 + 5.3 + 7.1  Winograd
        3x3, [32,16,16,128] to 128              11.8 + 12.2 + 15.8  8.3 + 7.4 + 6.4  Winograd, large tiles
        3x3, [8,8,8,512] to 512                 13.0 + 16.5 + 12.8  7.5 + 7.5 + 8.2  Winograd
        3x3, [32,32,32,16] to 16                1.6 + 1.6 + 2.2     itself; Winograd 1.9 + 1.5 + 2.2
        9x9, [8,32,32,3] to 64                  2.6 + 4.4 + 2.8     itself
        9x9, [8,32,32,64] to 3                  13.8 of the weight  3.1  mirrored
        3x3, [32,32,32,64] to 3                 6.9 of the weight   1.9  mirrored
        4x4, [64,7,7,512] to 1                  8.3 of the weight   0.4  mirrored
        4x4 stride 2, [64,32,32,3] to 64        2.2 of the weight   1.6  patches (on a Xeon 6.2 and 3.8)
        3x3, [8,2,2,512] to 512                 65.6 + 69.5 + 1.0   1.1 + 1.5 + 0.9  patches
    """
    if geo.groups > 1:
        return _DEPTHWISE if c == 1 else _GROUPED
    if math.prod(geo.kernel) == 1 or math.prod(geo.output) == 1:
        return _PATCHES
    rows = n * math.prod(geo.output)
    known = isinstance(rows, int)  # an exported program has any number
    if (
        all(d == 1 for d in geo.dilation)
        and min(c, o) >= 32
        and dtype in (jnp.float32, jnp.float64)  # sums of inputs would lose half-precision's bits
        and lax.Precision.HIGHEST not in (precision or ())
    ):
        for tile in winograd.tiles(geo.kernel, geo.stride, geo.output):
            entries = c * o * math.prod(axis.products * axis.stride for axis in _axes(geo, tile))
            # As many tiles as a kernel's transformation is worth: it is larger than a cache.
            if not known or rows >= tile ** len(geo.kernel) * max(32, entries >> 18):
                return _WINOGRAD[tile]
    if known and rows < 256 and min(c, o) >= 64:
        return _PATCHES
    at_a_stride = any(s > 1 for s in geo.stride)
    form = _CANONICAL
    if at_a_stride and math.prod(geo.kernel) * c <= 2 * o:
        form = _NARROW
    elif not at_a_stride and o <= 8 and o < c:
        form = _MIRRORED
    # XLA exchanges image and kernel where the kernel is the larger, and then loops naively.
    image, kernel, answer = map(math.prod, (geo.input, geo.kernel, geo.output))
    taps = math.prod(-(-k // s) for k, s in zip(geo.kernel, geo.stride, strict=True))
    larger = kernel > image, taps > answer, answer > image
    return _Products(*(_PATCHES[i] if larger[i] else form[i] for i in range(3)))


def _on_cpu(which: int, a, b, *, geo, precision):
    form = _cpu_products(geo, a.shape[0], *_channels(which, a, b, geo), a.dtype, precision)
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
        shape = _shape(which, *one, geo)
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
            if static["geo"].transposed and which == 2:
                out_axis = -3 - out_axis
            elif static["geo"].transposed and operand == 1:
                axis = -3 - axis
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
    transpose_kernel: bool = False,
    precision=None,
):
    """Transposed convolution as `lax.conv_transpose` defines it: x [N, *spatial, C] dilated by the
    stride and padded, then w [*kernel, C, O] slid over it unflipped.

    Args:
      transpose_kernel: w is that of the convolution whose transpose this is, [*kernel, O, C], and slid
        flipped.
      padding: "SAME" (stride times x's size), "VALID", or what the dilated x is padded with, a
        (low, high) pair a dimension.

    Raises:
      ValueError: if the channels of x and w differ or the padding is unknown.
      TypeError: if the arrays' types differ.
    """
    channels = w.shape[-1 if transpose_kernel else -2]
    if x.shape[-1] != channels:
        raise ValueError(f"conv_transpose: x has {x.shape[-1]} channels, the kernel takes {channels}")
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
    geo = _Geometry(stride, pads, dilation, 1, sizes, kernel, transposed=not transpose_kernel)
    return _bind(_input_p, x, w, geo, precision)


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
        padding = nn.linear.canonicalize_padding(self.padding, rank)
        y = conv_transpose(
            x,
            kernel,
            per_dimension(self.strides),
            padding,
            dilation=per_dimension(self.kernel_dilation),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
        )
        y = y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))
        return y.reshape(*batch, *y.shape[1:])
