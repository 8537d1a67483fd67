"""Convolution's three products with fewer multiplications (Winograd 1980; Lavin and Gray 2016).

Along one dimension, two outputs of a filter of t taps need t + 1 products instead of 2 t: both
arguments are transformed, multiplied entry by entry, and the result is transformed back. In two
dimensions that is 9 for 16 with 2 taps and 16 for 36 with 3. Summed over channels, each entry is a
matrix product, and matrix products are what a CPU does at full speed.

A stride s is taken away first: cells of s^d pixels become s^d times as many channels, so a 4x4
kernel with stride 2 has 2 taps a dimension. The transformations are linear, and the products'
transposes use the transposed ones: with input, kernel and output transformations B, G and A,

    y = A'[(B x)(G w)],    x = B'[(A g)(G w)'],    w = G'[(B x)'(A g)].

Their entries are 0, 1 and -1 (and 1/2 in G), so results differ from a direct sum's by a few units in
the last place.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

TILE = 2  # outputs a tile: with 4, the transformations cost more than the products save

_B = {
    2: np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
    3: np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]),
}
_G = {
    2: np.array([[1, 0], [1, 1], [0, 1]]),
    3: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
}
_A = {
    2: np.array([[1, 1, 0], [0, 1, 1]]),
    3: np.array([[1, 1, 1, 0], [0, 1, -1, 1]]),
}
TAPS = tuple(_A)


class Axis(NamedTuple):
    """One spatial dimension of a convolution without dilation."""

    size: int  # of the input
    kernel: int
    stride: int
    low: int  # padding before the input
    output: int

    @property
    def taps(self):
        return -(-self.kernel // self.stride)

    @property
    def tiles(self):
        return -(-self.output // TILE)

    @property
    def cells(self):
        """How many cells the tiles cover."""
        return TILE * self.tiles + self.taps - 1


def _zero(x):
    return jnp.zeros((), x.dtype)


def _combine(row, arrays):
    """The sum of the arrays, weighted by a row of a transformation."""
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


def _along(axis: int, matrix: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A matrix applied along one axis of an array of arrays."""
    columns = np.moveaxis(grid, axis, 0)
    out = np.empty((len(matrix), *columns.shape[1:]), object)
    for i in np.ndindex(out.shape):
        out[i] = _combine(matrix[i[0]], columns[(slice(None), *i[1:])])
    return np.moveaxis(out, 0, axis)


def _transform(matrices: Sequence[np.ndarray], grid: np.ndarray) -> np.ndarray:
    """One matrix along each axis."""
    for axis, matrix in enumerate(matrices):
        grid = _along(axis, matrix, grid)
    return grid


def _grid(shape, make: Callable) -> np.ndarray:
    out = np.empty(shape, object)
    for i in np.ndindex(*shape):
        out[i] = make(i)
    return out


def _pick(x, start, count):
    """Every TILE-th entry along each spatial dimension."""
    stop = [a + TILE * (n - 1) + 1 for a, n in zip(start, count, strict=True)]
    rank = len(count)
    return lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *(TILE,) * rank, 1))


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


def _input(x, axes):
    """B x: one matrix [N tiles, stride^d C] an entry."""
    # The barrier has the cells written once; fused into each entry they would be gathered anew.
    cells = lax.optimization_barrier(_to_cells(x, axes))
    tiles = [a.tiles for a in axes]
    grid = _grid([a.taps + 1 for a in axes], lambda i: _pick(cells, i, tiles))
    grid = _transform([_B[a.taps] for a in axes], grid)
    return [y.reshape(-1, y.shape[-1]) for y in grid.flat]


def _input_transposed(ys, n, axes):
    grid = np.empty([a.taps + 1 for a in axes], object)
    for i, y in zip(np.ndindex(*grid.shape), ys, strict=True):
        grid[i] = y.reshape(n, *(a.tiles for a in axes), -1)
    for d in reversed(range(len(axes))):  # tiles overlap: add them, one dimension after the other
        grid = _along(d, _B[axes[d].taps].T, grid)
        overlapped = np.empty(grid.shape[:-1], object)
        for i in np.ndindex(*overlapped.shape):
            overlapped[i] = _overlap(grid[i], d + 1, axes[d].cells)
        grid = overlapped
    return _from_cells(grid[()], axes)


def _overlap(ys, axis, cells):
    """The sum over a of ys[a], its entry i put at TILE i + a, along an axis of `cells`."""
    rows = -(-cells // TILE)
    sums = [None] * TILE
    for a, y in enumerate(ys):
        edges = [(0, 0, 0)] * y.ndim
        edges[axis] = (a // TILE, rows - y.shape[axis] - a // TILE, 0)
        y = lax.pad(y, _zero(y), edges)
        sums[a % TILE] = y if sums[a % TILE] is None else sums[a % TILE] + y
    y = jnp.stack(sums, axis + 1)
    y = y.reshape(*y.shape[:axis], rows * TILE, *y.shape[axis + 2 :])
    return lax.slice_in_dim(y, 0, cells, axis=axis)


def _kernel(w, axes):
    """G w: one matrix [stride^d C, O] an entry."""
    rank, (c, o) = len(axes), w.shape[-2:]
    w = jnp.pad(w, [*((0, a.taps * a.stride - a.kernel) for a in axes), (0, 0), (0, 0)])
    w = w.reshape(*(n for a in axes for n in (a.taps, a.stride)), c, o)
    w = w.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2), 2 * rank, 2 * rank + 1)
    w = w.reshape(*(a.taps for a in axes), -1, o)
    return list(_transform([_G[a.taps] for a in axes], _grid(w.shape[:rank], lambda i: w[i])).flat)


def _kernel_transposed(ws, axes):
    grid = np.empty([a.taps + 1 for a in axes], object)
    for i, w in zip(np.ndindex(*grid.shape), ws, strict=True):
        grid[i] = w
    grid = _transform([_G[a.taps].T for a in axes], grid)
    rank, taps, strides = len(axes), [a.taps for a in axes], [a.stride for a in axes]
    w = jnp.stack(list(grid.flat)).reshape(*taps, *strides, -1, ws[0].shape[-1])
    order = [i for d in range(rank) for i in (d, rank + d)]
    w = w.transpose(*order, 2 * rank, 2 * rank + 1)
    w = w.reshape(*(a.taps * a.stride for a in axes), *w.shape[-2:])
    return w[tuple(slice(a.kernel) for a in axes)]


def _output(ys, n, axes):
    """A' y: [N, *output, O] of one matrix [N tiles, O] an entry."""
    grid = np.empty([a.taps + 1 for a in axes], object)
    for i, y in zip(np.ndindex(*grid.shape), ys, strict=True):
        grid[i] = y.reshape(n, *(a.tiles for a in axes), -1)
    grid = _transform([_A[a.taps] for a in axes], grid)
    total = None
    for i in np.ndindex(*grid.shape):  # woven together by a sum of spread arrays: one fused loop
        edges = [(j, a.output - j - TILE * (a.tiles - 1) - 1, TILE - 1) for j, a in zip(i, axes, strict=True)]
        y = lax.pad(grid[i], _zero(grid[i]), [(0, 0, 0), *edges, (0, 0, 0)])
        total = y if total is None else total + y
    return total


def _output_transposed(g, axes):
    """A g, the transpose of `_output`."""
    tiles = [a.tiles for a in axes]
    g = jnp.pad(g, [(0, 0), *((0, TILE * a.tiles - a.output) for a in axes), (0, 0)])
    grid = _grid([TILE] * len(axes), lambda i: _pick(g, i, tiles))
    return [y.reshape(-1, y.shape[-1]) for y in _transform([_A[a.taps].T for a in axes], grid).flat]


def _products(equation, left, right, precision):
    # One matrix product an entry: XLA runs them side by side, and a batched one on one core.
    return [jnp.einsum(equation, a, b, precision=precision) for a, b in zip(left, right, strict=True)]


def conv(x, w, axes, precision=None):
    """x [N, *size, C] and w [*kernel, C, O] -> y [N, *output, O]."""
    ys = _products("mc,co->mo", _input(x, axes), _kernel(w, axes), precision)
    return _output(ys, x.shape[0], axes)


def conv_input(g, w, axes, precision=None):
    """The transpose of `conv` in x: g [N, *output, O] and w -> [N, *size, C]."""
    ys = _products("mo,co->mc", _output_transposed(g, axes), _kernel(w, axes), precision)
    return _input_transposed(ys, g.shape[0], axes)


def conv_weight(x, g, axes, precision=None):
    """The transpose of `conv` in w: x and g -> [*kernel, C, O]."""
    ws = _products("mc,mo->co", _input(x, axes), _output_transposed(g, axes), precision)
    return _kernel_transposed(ws, axes)
