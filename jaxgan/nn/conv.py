"""Convolutions that are fast inside `lax.scan`, also on a CPU.

XLA:CPU runs a convolution at the matrix product's speed only in its canonical form (NHWC x HWIO ->
NHWC). Autodiff's weight gradient swaps batch and feature dimensions instead, and inside a loop that
form falls to a naive loop nest, tens to hundreds of times slower. So a convolution, its transpose in
the input and its gradient in the weights are three primitives here. They come from one trilinear
form, <g, conv(x, w)>, and the gradients of each are the other two: derivatives of any order, forward
or reverse, stay within the three. Each has a canonical lowering on a CPU and the native one elsewhere.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


class _Geometry(NamedTuple):
    """What the three arrays' shapes do not tell alone; spatial entries only, one per dimension."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    input: tuple[int, ...]
    kernel: tuple[int, ...]

    @property
    def output(self):
        sizes = zip(self.input, self.padding, self.kernel, self.stride, strict=True)
        return tuple((n + lo + hi - k) // s + 1 for n, (lo, hi), k, s in sizes)


def _dot(x, w, *, precision, stride=None, padding, x_dilation=None, w_dilation=None):
    """XLA's convolution in canonical form: [N, *spatial, C] with [*kernel, C, O]."""
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
        precision=precision,
        preferred_element_type=x.dtype,
    )


def _swap(x, first, second):
    return jnp.swapaxes(x, first, second)


def _flip(w):
    return jnp.flip(w, range(w.ndim - 2))


def _conv(x, w, *, geo, precision):
    """y[n, p, o] = sum over k, c of x[n, stride p + k - lo, c] w[k, c, o]."""
    return _dot(x, w, stride=geo.stride, padding=geo.padding, precision=precision)


def _conv_input_native(g, w, *, geo, precision):
    """The transpose of `_conv` in x, as one input-dilated convolution."""
    padding = [
        (k - 1 - lo, n - (s * (p - 1) + 1) + lo)
        for n, p, k, s, (lo, _) in zip(
            geo.input, geo.output, geo.kernel, geo.stride, geo.padding, strict=True
        )
    ]
    w = _swap(_flip(w), -1, -2)
    return _dot(g, w, padding=padding, x_dilation=geo.stride, precision=precision)


def _conv_input_cpu(g, w, *, geo, precision):
    """The same without dilation: stride 1 is canonical already; else every phase of the stride is
    made by one convolution with stride-times as many channels, and the phases are interleaved."""
    if all(s == 1 for s in geo.stride):
        return _conv_input_native(g, w, geo=geo, precision=precision)
    rank, (c, o) = len(geo.stride), w.shape[-2:]
    taps = [-(-k // s) for k, s in zip(geo.kernel, geo.stride, strict=True)]
    fill = [(0, t * s - k) for t, s, k in zip(taps, geo.stride, geo.kernel, strict=True)]
    w = jnp.pad(w, [*fill, (0, 0), (0, 0)])
    split = [size for t, s in zip(taps, geo.stride, strict=True) for size in (t, s)]
    w = w.reshape(*split, c, o)
    order = [*range(0, 2 * rank, 2), 2 * rank + 1, *range(1, 2 * rank, 2), 2 * rank]
    w = _flip(w.transpose(order).reshape(*taps, o, -1))  # [*taps, O, *stride * C]
    y = _dot(g, w, padding=[(t - 1, t - 1) for t in taps], precision=precision)
    n, *cells, _ = y.shape
    y = y.reshape(n, *cells, *geo.stride, c)
    order = [0, *(a for d in range(rank) for a in (1 + d, 1 + rank + d)), 2 * rank + 1]
    y = y.transpose(order).reshape(n, *(m * s for m, s in zip(cells, geo.stride, strict=True)), c)
    edges = [(0, 0, 0)] + [
        (-lo, lo + size - have, 0)
        for (lo, _), size, have in zip(geo.padding, geo.input, y.shape[1:-1], strict=True)
    ]
    return lax.pad(y, jnp.zeros((), y.dtype), [*edges, (0, 0, 0)])


def _conv_weight(x, g, *, geo, precision):
    """The transpose of `_conv` in w: channels as the batch, examples as the features."""
    padding = [
        (lo, k + s * (p - 1) - n - lo)
        for n, p, k, s, (lo, _) in zip(
            geo.input, geo.output, geo.kernel, geo.stride, geo.padding, strict=True
        )
    ]
    y = _dot(
        _swap(x, 0, -1),
        jnp.moveaxis(g, 0, -2),
        padding=padding,
        w_dilation=geo.stride,
        precision=precision,
    )
    return jnp.moveaxis(y, 0, -2)


def _primitive(name: str, native: Callable, cpu: Callable) -> Primitive:
    p = Primitive(name)

    @functools.partial(jax.jit, static_argnames=("geo", "precision"))
    def eager(a, b, **static):
        return p.bind(a, b, **static)

    def abstract(a, b, **static):
        out = jax.eval_shape(functools.partial(native, **static), a, b)
        return ShapedArray(out.shape, out.dtype)

    def batch(args, axes, **static):
        a, b = (x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(args, axes, strict=True))
        if axes[1] is None and p is not _weight_p:  # one kernel for all: more examples, no more
            y = p.bind(a.reshape(-1, *a.shape[2:]), b, **static)
            return y.reshape(*a.shape[:2], *y.shape[1:]), 0
        # A kernel each: XLA would make a grouped convolution, 11 times slower on a CPU.
        pick = [(lambda i, x=x: x[i]) if d is not None else (lambda i, x=x: x)
                for x, d in zip((a, b), axes, strict=True)]  # fmt: skip
        lanes = next(x.shape[0] for x, d in zip((a, b), axes, strict=True) if d is not None)
        return lax.map(lambda i: p.bind(*(f(i) for f in pick), **static), jnp.arange(lanes)), 0

    p.def_impl(eager)
    p.def_abstract_eval(abstract)
    mlir.register_lowering(p, mlir.lower_fun(native, multiple_results=False))
    mlir.register_lowering(p, mlir.lower_fun(cpu, multiple_results=False), platform="cpu")
    batching.primitive_batchers[p] = batch
    return p


_conv_p = _primitive("conv", _conv, _conv)
_input_p = _primitive("conv_input", _conv_input_native, _conv_input_cpu)
_weight_p = _primitive("conv_weight", _conv_weight, _conv_weight)

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

Padding = str | Sequence[tuple[int, int]]


def conv(x, w, stride: Sequence[int], padding: Padding = "SAME", *, precision=None):
    """Convolution (cross-correlation) of x [N, *spatial, C] with w [*kernel, C, O] -> [N, *out, O].

    Args:
      stride: one integer a spatial dimension.
      padding: "SAME", "VALID", or a (low, high) pair a dimension.
      precision: as `lax.conv_general_dilated` takes it.

    Raises:
      ValueError: if the channels of x and w differ.
    """
    if x.shape[-1] != w.shape[-2]:
        raise ValueError(f"conv: x has {x.shape[-1]} channels and the kernel takes {w.shape[-2]}")
    spatial, kernel, stride = x.shape[1:-1], w.shape[:-2], tuple(stride)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(spatial, kernel, stride, padding)
    padding = tuple((int(lo), int(hi)) for lo, hi in padding)
    geo = _Geometry(stride, padding, spatial, kernel)
    return _conv_p.bind(x, w, geo=geo, precision=lax.Precision(precision) if precision else None)


def conv_transpose(x, w, stride: Sequence[int], padding: str = "SAME", *, precision=None):
    """Transposed convolution as `lax.conv_transpose` defines it: x dilated by the stride, then w
    [*kernel, C, O] slid over it unflipped. "SAME" gives stride times x's size.

    Raises:
      ValueError: if the channels of x and w differ or padding is neither "SAME" nor "VALID".
    """
    if x.shape[-1] != w.shape[-2]:
        raise ValueError(f"conv_transpose: x has {x.shape[-1]} channels, the kernel takes {w.shape[-2]}")
    if padding not in ("SAME", "VALID"):
        raise ValueError(f"conv_transpose: padding is 'SAME' or 'VALID', not {padding!r}")
    pads, sizes = [], []
    for n, k, s in zip(x.shape[1:-1], w.shape[:-2], stride, strict=True):
        if padding == "SAME":  # lax's rule for what the dilated x is padded with
            low = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
            high = k + s - 2 - low
        else:
            low, high = k - 1, max(k, s) - 1
        pads.append((k - 1 - low, k - 1 - high))
        sizes.append(s * (n - 1) + low + high - k + 2)
    geo = _Geometry(tuple(stride), tuple(pads), tuple(sizes), w.shape[:-2])
    w = _swap(_flip(w), -1, -2)
    return _input_p.bind(x, w, geo=geo, precision=lax.Precision(precision) if precision else None)


def _per_dimension(value, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


class _Layer(nn.Module):
    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros_init()

    def apply_kernel(self, product, x):
        rank = x.ndim - 2
        shape = (*_per_dimension(self.kernel_size, rank), x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        stride = _per_dimension(self.strides, rank)
        y = product(x, kernel, stride, self.padding, precision=self.precision)
        return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


class Conv(_Layer):
    """`flax.linen.Conv` on this module's convolution: the same parameters, the same values.

    x [N, *spatial, C] -> [N, *out, features].
    """

    @nn.compact
    def __call__(self, x):
        return self.apply_kernel(conv, x)


class ConvTranspose(_Layer):
    """`flax.linen.ConvTranspose`, likewise. "SAME" padding multiplies the size by the stride."""

    @nn.compact
    def __call__(self, x):
        return self.apply_kernel(conv_transpose, x)
