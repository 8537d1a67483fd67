"""Convolution's three products with fewer multiplications (Winograd 1980; Lavin and Gray 2016).

Along one dimension, a tile of m outputs of a filter of t taps needs m + t - 1 products instead of
m t: both arguments are transformed, multiplied entry by entry, and the result is transformed back. In
two dimensions that is 9 for 16 with 2 taps and tiles of 2, 36 for 144 with 3 taps and tiles of 4.
Summed over channels, each entry is a matrix product, and matrix products are what a CPU does at full
speed.

A stride s is taken away first: cells of s^d pixels become s^d times as many channels, so a 4x4
kernel with stride 2 has 2 taps a dimension. The transformations are linear, and the products'
transposes use the transposed ones: with input, kernel and output transformations B, G and A,

    y = A [(B x)(G w)],    x = B'[(A'g)(G w)'],    w = G'[(B x)'(A'g)].

In float32 the largest error is 1e-6 of the largest entry with tiles of 2 and up to 3 taps, and 4e-6 else.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax


def _matrices(points, taps: int):
    """B, G and A of a filter of `taps` by evaluation at the points and at infinity (Toom and Cook).

    A tile has len(points) + 2 - taps outputs.
    """
    n, tile = len(points) + 1, len(points) + 2 - taps
    b, g, a = np.zeros((n, n)), np.zeros((n, taps)), np.zeros((tile, n))
    for i, p in enumerate(points):
        others = [q for q in points if q != p]
        b[i, :-1] = np.polynomial.polynomial.polyfromroots(others)
        g[i] = p ** np.arange(taps) / np.prod([p - q for q in others])
        a[:, i] = p ** np.arange(tile)
    b[-1] = np.polynomial.polynomial.polyfromroots(points)
    g[-1, -1] = a[-1, -1] = 1
    return b, g, a


# By (tile, taps). With these points the entries are small and exact, and errors least.
MATRICES = {
    (2, 2): _matrices([0.0, 1.0], 2),
    (2, 3): _matrices([0.0, 1.0, -1.0], 3),
    (2, 4): _matrices([0.0, 1.0, -1.0, 2.0], 4),
    (4, 3): _matrices([0.0, 1.0, -1.0, 0.5, -2.0], 3),
}


def tiles(kernel, stride, output) -> list[int]:
    """The tiles, by their outputs a dimension, that such a convolution can be cut into, the fastest first.

    Four are faster with 3 taps (a residual step took 182 ms for 256), and not with 2 (a DCGAN step took 82 ms
    for 81, twice as long to compile).
    """
    taps = [-(-k // s) for k, s in zip(kernel, stride, strict=True)]
    whole = all(p % 8 == 0 for p in output)
    return [m for m in (4, 2) if all((m, t) in MATRICES for t in taps) and (m == 2 or whole)]


class Axis(NamedTuple):
    """One spatial dimension of a convolution without dilation."""

    size: int  # of the input
    kernel: int
    stride: int
    low: int  # padding before the input
    output: int
    tile: int  # outputs of one

    @property
    def taps(self):
        return -(-self.kernel // self.stride)

    @property
    def products(self):
        """Products of a tile."""
        return self.tile + self.taps - 1

    @property
    def tiles(self):
        return -(-self.output // self.tile)

    @property
    def cells(self):
        """How many cells the tiles cover."""
        return self.tile * self.tiles + self.taps - 1

    @property
    def matrices(self):
        return MATRICES[self.tile, self.taps]


def _zero(x):
    return jnp.zeros((), x.dtype)


def _sums(matrix: np.ndarray, arrays: list) -> list:
    """For each row of a transformation the sum of the arrays, weighted by it."""

    def one(row):
        total = None
        for weight, x in zip(row, arrays, strict=True):
            if weight == 0:
                continue
            if total is None:
                total = x if weight == 1 else -x if weight == -1 else float(weight) * x
            elif abs(weight) == 1:
                total = total + x if weight == 1 else total - x
            else:
                total = total + float(weight) * x
        return total

    return [one(row) for row in matrix]


def _to_cells(x, axes):
    """x [N, *size, C] -> [N, *cells, stride^d C]; outside x are zeros.

    Slices joined along the channels: a reshape and transpose does the same four times as slowly.
    """

    def phase(p):
        start, edges = [], []
        for a, q in zip(axes, p, strict=True):
            first = (q - a.low) % a.stride  # the first row of x in this place of a cell
            rows = len(range(first, a.size, a.stride))
            before = (first - q + a.low) // a.stride
            start.append(min(first, a.size))
            edges.append((before, a.cells - before - rows, 0))
        strides = (1, *(a.stride for a in axes), 1)
        y = lax.slice(x, (0, *start, 0), x.shape, strides)
        return lax.pad(y, _zero(x), [(0, 0, 0), *edges, (0, 0, 0)])

    return jnp.concatenate([phase(p) for p in np.ndindex(*(a.stride for a in axes))], -1)


def _from_cells(y, axes):
    """The transpose of `_to_cells`."""
    n, rank, strides = y.shape[0], len(axes), [a.stride for a in axes]
    y = y.reshape(n, *(a.cells for a in axes), *strides, -1)
    order = [0, *(i for d in range(rank) for i in (1 + d, 1 + rank + d)), 1 + 2 * rank]
    y = y.transpose(order).reshape(n, *(a.cells * a.stride for a in axes), -1)
    edges = [(-a.low, a.low + a.size - a.cells * a.stride, 0) for a in axes]
    return lax.pad(y, _zero(y), [(0, 0, 0), *edges, (0, 0, 0)])


def _stacked(axes) -> bool:
    """Whether the entries of all dimensions but the last are the leading dimensions of one array.

    Then few loops are compiled: with an array for each of 36 entries a residual step took 59 s to compile for
    15 s, and 352 ms for 332 (the best of 7 rounds). Nine arrays are faster apart: a DCGAN step took 165 ms
    for 179.
    """
    return any(axis.products > 4 for axis in axes)


def _others(axes) -> list[int]:
    """These leading dimensions."""
    return [axis.products for axis in reversed(axes[:-1])] if _stacked(axes) else []


def _split(x, axes, matrices) -> list:
    """A matrix applied along each dimension of every tile of x [N, *size, C]: arrays [*others, N tiles, C],
    one for each row of the last dimension's matrix, or of all."""
    xs, stacked = [x], _stacked(axes)
    for i, (axis, matrix) in enumerate(zip(axes, matrices, strict=True)):
        d, reach = 1 + (2 * i if stacked else i), axis.tile * (axis.tiles - 1) + 1

        def rows(x, d=d, axis=axis, matrix=matrix, reach=reach):
            starts = range(matrix.shape[1])
            return _sums(matrix, [lax.slice_in_dim(x, k, k + reach, axis.tile, d) for k in starts])

        xs = [row for x in xs for row in rows(x)]
        if stacked and i < len(axes) - 1:
            xs = [lax.optimization_barrier(jnp.stack(xs))]
    return [y.reshape(*_others(axes), -1, y.shape[-1]) for y in xs]


def _joined(ys, n, axes, join: Callable):
    """The reverse: of arrays as `_split` returns them, each dimension's entries made one array by `join`,
    (arrays, dimension, axis) -> array."""
    stacked = _stacked(axes)
    ys = [y.reshape(*_others(axes), n, *(axis.tiles for axis in axes), y.shape[-1]) for y in ys]
    for i, axis in reversed(list(enumerate(axes))):
        d, m = 1 + (2 * i if stacked else i), axis.products
        ys = [join(ys[k : k + m], d, axis) for k in range(0, len(ys), m)]
        if stacked and i:
            # The barrier has it written once, not anew for each sum that it goes into.
            ys = list(lax.optimization_barrier(ys[0]))
    return ys[0]


def _input(x, axes):
    """B x."""
    # The barrier has the cells written once; fused into each entry they would be gathered anew.
    cells = lax.optimization_barrier(_to_cells(x, axes))
    return _split(cells, axes, [axis.matrices[0] for axis in axes])


def _input_transposed(ys, n, axes):
    return _from_cells(_joined(ys, n, axes, _overlap), axes)


def _overlap(ys, d, axis):
    """B'y along dimension d: tiles overlap, entry i of tile t is added at cell t tile + i."""
    rows, sums = -(-axis.cells // axis.tile), [None] * axis.tile
    for i, y in enumerate(_sums(axis.matrices[0].T, ys)):
        edges = [(0, 0, 0)] * y.ndim
        edges[d] = (i // axis.tile, rows - axis.tiles - i // axis.tile, 0)
        y = lax.pad(y, _zero(y), edges)
        k = i % axis.tile
        sums[k] = y if sums[k] is None else sums[k] + y
    return _weave(sums, d, axis.cells)


def _weave(ys, d, size):
    """The arrays' entries in turn along dimension d, `size` of them."""
    y = jnp.stack(ys, d + 1)
    y = y.reshape(*y.shape[:d], -1, *y.shape[d + 2 :])
    return lax.slice_in_dim(y, 0, size, axis=d)


def _g(axes):
    """G of all dimensions as one matrix [entries, taps], the entries in the arrays' order."""
    matrix = functools.reduce(np.kron, [axis.matrices[1] for axis in axes])
    if not _stacked(axes):
        return matrix
    rank = len(axes)
    matrix = matrix.reshape(*(axis.products for axis in axes), -1)
    return matrix.transpose(*reversed(range(rank)), rank).reshape(-1, matrix.shape[-1])


def _kernel(w, axes, transposed):
    """G w: arrays [*others, stride^d C, O], of a transposed convolution's kernel [*others, O, stride^d C]."""
    rank, (first, last) = len(axes), w.shape[-2:]
    w = jnp.flip(w, range(rank)) if transposed else w
    w = jnp.pad(w, [*((0, a.taps * a.stride - a.kernel) for a in axes), (0, 0), (0, 0)])
    w = w.reshape(*(n for a in axes for n in (a.taps, a.stride)), first, last)
    taps, strides = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    order = (*taps, 2 * rank, *strides) if transposed else (*taps, *strides, 2 * rank)
    w = w.transpose(*order, 2 * rank + 1)
    w = w.reshape(math.prod(a.taps for a in axes), *((first, -1) if transposed else (-1, last)))
    g = _g(axes)
    if not _stacked(axes):
        return _sums(g, list(w))
    flat = w.reshape(len(w), -1)
    each = [jnp.asarray(part, w.dtype) @ flat for part in np.split(g, axes[-1].products)]
    return [y.reshape(*_others(axes), *w.shape[1:]) for y in each]


def _kernel_transposed(ws, axes, transposed):
    rank, (first, last) = len(axes), ws[0].shape[-2:]
    g, taps, strides = _g(axes), [a.taps for a in axes], [a.stride for a in axes]
    if _stacked(axes):
        parts = zip(np.split(g, axes[-1].products), ws, strict=True)
        w = sum(jnp.asarray(part.T, y.dtype) @ y.reshape(len(part), -1) for part, y in parts)
    else:
        w = jnp.stack(_sums(g.T, ws))
    channels = (first, *strides, -1) if transposed else (*strides, -1, last)
    w = w.reshape(*taps, *channels)
    at = rank + 1 if transposed else rank  # where the strides are
    order = [i for d in range(rank) for i in (d, at + d)]
    w = w.transpose(*order, rank if transposed else 2 * rank, 2 * rank + 1)
    w = w.reshape(*(a.taps * a.stride for a in axes), *w.shape[-2:])
    w = w[tuple(slice(a.kernel) for a in axes)]
    return jnp.flip(w, range(rank)) if transposed else w


def _output(ys, n, axes):
    """A y: [N, *output, O]."""
    if not _stacked(axes) and all(axis.tile == 2 for axis in axes):
        return _woven_at_once(ys, n, axes)
    return _joined(ys, n, axes, lambda ys, d, axis: _weave(_sums(axis.matrices[2], ys), d, axis.output))


def _woven_at_once(ys, n, axes):
    """A sum of spread arrays: one loop, the fastest way while the arrays are few."""
    ys = [y.reshape(n, *(axis.tiles for axis in axes), -1) for y in ys]
    total = None
    sums = _sums(functools.reduce(np.kron, [axis.matrices[2] for axis in axes]), ys)
    for i, y in zip(np.ndindex(*(axis.tile for axis in axes)), sums, strict=True):
        edges = [(k, a.output - k - 2 * (a.tiles - 1) - 1, 1) for k, a in zip(i, axes, strict=True)]
        y = lax.pad(y, _zero(y), [(0, 0, 0), *edges, (0, 0, 0)])
        total = y if total is None else total + y
    return total


def _output_transposed(g, axes):
    """A'g."""
    g = jnp.pad(g, [(0, 0), *((0, a.tile * a.tiles - a.output) for a in axes), (0, 0)])
    return _split(g, axes, [axis.matrices[2].T for axis in axes])


def _products(left, right, contracted: tuple[int, int], precision):
    """The matrix products of all entries, contracted along these dimensions of each pair of matrices."""
    # XLA runs the products of several arrays side by side, and those of one on one core.
    batch = tuple(range(left[0].ndim - 2))
    dims = tuple((len(batch) + d,) for d in contracted), (batch, batch)
    return [lax.dot_general(a, b, dims, precision=precision) for a, b in zip(left, right, strict=True)]


def conv(x, w, axes, transposed=False, precision=None):
    """x [N, *size, C] and w [*kernel, C, O] -> y [N, *output, O].

    Args:
      transposed: w, also below, is turned around: [*kernel, O, C].
    """
    ys = _products(_input(x, axes), _kernel(w, axes, transposed), (1, int(transposed)), precision)
    return _output(ys, x.shape[0], axes)


def conv_input(g, w, axes, transposed=False, precision=None):
    """The transpose of `conv` in x: g [N, *output, O] and w -> [N, *size, C]."""
    ws = _kernel(w, axes, transposed)
    ys = _products(_output_transposed(g, axes), ws, (1, int(not transposed)), precision)
    return _input_transposed(ys, g.shape[0], axes)


def conv_weight(x, g, axes, transposed=False, precision=None):
    """The transpose of `conv` in w: x and g -> [*kernel, C, O]."""
    pair = _input(x, axes), _output_transposed(g, axes)
    ws = _products(*(pair[::-1] if transposed else pair), (0, 0), precision)
    return _kernel_transposed(ws, axes, transposed)
