"""Filtering of images by a low-pass filter, alone or while their size is doubled or halved (StyleGAN; Karras
et al. 2019, section 3; Zhang 2019).

The filter is a product of one along each axis, and all is sums of shifted images, in derivatives of any order
too: the transpose of a filter that doubles is one that halves, with the taps turned around. (Autodiff's own,
a sum of widened images, takes XLA:CPU three times as long.) Beyond its edges an image is 0, as in the
authors' code.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

FILTER = (1.0, 3.0, 3.0, 1.0)  # StyleGAN2's; StyleGAN's is (1, 2, 1)

Edges = tuple[int, int]


class _Filter(NamedTuple):
    """Along one axis: y[o] is the sum over i of taps[i] x[(down o + i - low) / up], where that is whole."""

    taps: tuple[float, ...]
    low: int
    up: int
    down: int
    input: int  # the sizes of x and y
    output: int

    def transpose(self):
        low = len(self.taps) - 1 - self.low
        return _Filter(self.taps[::-1], low, self.down, self.up, self.output, self.input)


def _along(x, axis: int, of: _Filter, written):
    """Phase after phase of `up`; `written` is what the widened image is given to."""
    # How many outputs there are before they are thinned out; those of a single phase are made thinned out.
    down, wanted = (of.down, of.output) if of.up == 1 else (1, of.down * (of.output - 1) + 1)
    each = -(-wanted // of.up)
    phases = []  # of (tap, where it begins in x)
    for phase in range(of.up):
        met = [i for i in range(len(of.taps)) if (phase + i - of.low) % of.up == 0]
        phases.append([(of.taps[i], (phase + i - of.low) // of.up) for i in met])
    starts = [start for phase in phases for _, start in phase]
    before = -min(starts)
    after = max(starts) + down * (each - 1) + 1 - of.input
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (before, after, 0)
    x = written(lax.pad(x, jnp.zeros((), x.dtype), config))

    def part(start):
        first = start + before
        return lax.slice_in_dim(x, first, first + down * (each - 1) + 1, down, axis)

    nothing = jnp.zeros_like(part(starts[0]))  # of a phase that no tap meets
    made = [sum(tap * part(start) for tap, start in phase) if phase else nothing for phase in phases]
    if of.up == 1:
        return made[0]
    y = jnp.stack(made, axis + 1).reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
    return lax.slice_in_dim(y, 0, wanted, of.down, axis)


def _both(x, *, filters, written=lambda x: x):
    """x [..., H, W, C]."""
    rows, columns = filters
    return _along(written(_along(x, x.ndim - 3, rows, written)), x.ndim - 2, columns, written)


_fir_p = Primitive("fir")
_fir_p.def_impl(jax.jit(_fir_p.bind, static_argnames="filters"))


@_fir_p.def_abstract_eval
def _shape(x, *, filters):
    *batch, _, _, channels = x.shape
    return ShapedArray((*batch, *(of.output for of in filters), channels), x.dtype)


def _transpose(g, x, *, filters):
    return [_fir_p.bind(g, filters=tuple(of.transpose() for of in filters))]


def _batch(args, axes, *, filters):
    return _fir_p.bind(jnp.moveaxis(args[0], axes[0], 0), filters=filters), 0


ad.deflinear2(_fir_p, _transpose)
batching.primitive_batchers[_fir_p] = _batch
# On a CPU what is between is written: fused, it would be made anew for each tap.
_on_cpu = functools.partial(_both, written=lax.optimization_barrier)
mlir.register_lowering(_fir_p, mlir.lower_fun(_both, multiple_results=False))
mlir.register_lowering(_fir_p, mlir.lower_fun(_on_cpu, multiple_results=False), platform="cpu")


def fir(x, edges: Edges, *, taps: Sequence[float] = FILTER, up: int = 1, down: int = 1):
    """Images [B, H, W, C] with zeros put between their pixels, widened by zeros, filtered and thinned out.

    The taps are divided by their sum over `up`, so that a constant image keeps its value inside. Neither
    image nor taps are turned around: tap i is the weight of the pixel i after the first.

    Args:
      edges: by how many zeros it is widened before and after, along both axes; below 0 it is cut.
      up: of so many pixels one is the image's.
      down: of so many filtered pixels one is kept.

    Raises:
      ValueError: if nothing is left.
    """
    scale = up / math.fsum(taps)
    taps = tuple(scale * tap for tap in taps)

    def along(n):
        wide = up * n + sum(edges)
        output = (wide - len(taps)) // down + 1
        if output < 1:
            raise ValueError(f"fir: nothing is left of an image of {wide} with its edges by {len(taps)} taps")
        return _Filter(taps, edges[0], up, down, n, output)

    return _fir_p.bind(x, filters=tuple(map(along, x.shape[1:3])))


def double(x, taps: Sequence[float] = FILTER):
    """Images [B, H, W, C] -> [B, 2 H, 2 W, C]."""
    n = len(taps)
    return fir(x, ((n + 1) // 2, (n - 2) // 2), taps=taps, up=2)


def halve(x, taps: Sequence[float] = FILTER):
    """Images [B, H, W, C] of even H and W -> [B, H / 2, W / 2, C]; of an even number of taps that read the
    same backwards it is the transpose of `double`, over 4."""
    n = len(taps)
    return fir(x, ((n - 1) // 2, (n - 2) // 2), taps=taps, down=2)
