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

In float32 the largest error is 1e-6 of the largest entry with tiles of 2, and 3e-6 with tiles of 4.
"""

from collections.abc import Callable, Sequence
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
    (4, 2): _matrices([0.0, 1.0, -1.0, 2.0], 2),
    (4, 3): _matrices([0.0, 1.0, -1.0, 0.5, -2.0], 3),
}
TAPS = (2, 3)


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
    def tile(self):
        """Outputs of a tile. Four are faster with 3 taps (a residual step took 182 ms for 256), and
        not with 2 (a DCGAN step took 82 ms for 81, twice as long to compile)."""
        return 4 if self.taps == 3 and self.output % 8 == 0 else 2

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
        if axis and len(matrix) > 4:  # large sums: in stages, they compile and run faster
            grid = _grid(grid.shape, lambda i, grid=grid: lax.optimization_barrier(grid[i]))
        grid = _along(axis, matrix, grid)
    return grid


def _grid(shape, make: Callable) -> np.ndarray:
    out = np.empty(shape, object)
    for i in np.ndindex(*shape):
        out[i] = make(i)
    return out


def _pick(x, start, axes):
    """The entry `start` of every tile."""
    stop = [i + a.tile * (a.tiles - 1) + 1 for i, a in zip(start, axes, strict=True)]
    steps = (1, *(a.tile for a in axes), 1)
    return lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), steps)


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
    grid = _grid([a.products for a in axes], lambda i: _pick(cells, i, axes))
    grid = _transform([a.matrices[0] for a in axes], grid)
    return [y.reshape(-1, y.shape[-1]) for y in grid.flat]


def _input_transposed(ys, n, axes):
    grid = np.empty([a.products for a in axes], object)
    for i, y in zip(np.ndindex(*grid.shape), ys, strict=True):
        grid[i] = y.reshape(n, *(a.tiles for a in axes), -1)
    for d in reversed(range(len(axes))):  # tiles overlap: add them, one dimension after the other
        grid = _along(d, axes[d].matrices[0].T, grid)
        overlapped = np.empty(grid.shape[:-1], object)
        for i in np.ndindex(*overlapped.shape):
            overlapped[i] = _overlap(grid[i], d + 1, axes[d])
        grid = overlapped
    return _from_cells(grid[()], axes)


def _overlap(ys, d, axis):
    """The sum over i of ys[i], its entry t put at tile t + i, along dimension d."""
    rows = -(-axis.cells // axis.tile)
    sums = [None] * axis.tile
    for i, y in enumerate(ys):
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


def _kernel(w, axes):
    """G w: one matrix [stride^d C, O] an entry."""
    rank, (c, o) = len(axes), w.shape[-2:]
    w = jnp.pad(w, [*((0, a.taps * a.stride - a.kernel) for a in axes), (0, 0), (0, 0)])
    w = w.reshape(*(n for a in axes for n in (a.taps, a.stride)), c, o)
    w = w.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2), 2 * rank, 2 * rank + 1)
    w = w.reshape(*(a.taps for a in axes), -1, o)
    return list(_transform([a.matrices[1] for a in axes], _grid(w.shape[:rank], lambda i: w[i])).flat)


def _kernel_transposed(ws, axes):
    grid = np.empty([a.products for a in axes], object)
    for i, w in zip(np.ndindex(*grid.shape), ws, strict=True):
        grid[i] = w
    grid = _transform([a.matrices[1].T for a in axes], grid)
    rank, taps, strides = len(axes), [a.taps for a in axes], [a.stride for a in axes]
    w = jnp.stack(list(grid.flat)).reshape(*taps, *strides, -1, ws[0].shape[-1])
    order = [i for d in range(rank) for i in (d, rank + d)]
    w = w.transpose(*order, 2 * rank, 2 * rank + 1)
    w = w.reshape(*(a.taps * a.stride for a in axes), *w.shape[-2:])
    return w[tuple(slice(a.kernel) for a in axes)]


def _output(ys, n, axes):
    """A y: [N, *output, O] of one matrix [N tiles, O] an entry."""
    grid = np.empty([a.products for a in axes], object)
    for i, y in zip(np.ndindex(*grid.shape), ys, strict=True):
        grid[i] = y.reshape(n, *(a.tiles for a in axes), -1)
    if all(a.tile == 2 for a in axes):
        return _woven_at_once(_transform([a.matrices[2] for a in axes], grid), axes)
    for d in reversed(range(len(axes))):
        grid = _along(d, axes[d].matrices[2], grid)
        woven = np.empty(grid.shape[:-1], object)
        for i in np.ndindex(*woven.shape):
            # The barrier has each row woven once, not anew for each sum that it goes into.
            y = _weave(list(grid[i]), d + 1, axes[d].output)
            woven[i] = lax.optimization_barrier(y) if d else y
        grid = woven
    return grid[()]


def _woven_at_once(grid, axes):
    """A sum of spread arrays: one loop, the fastest way while the arrays are few."""
    total = None
    for i in np.ndindex(*grid.shape):
        edges = [(k, a.output - k - 2 * (a.tiles - 1) - 1, 1) for k, a in zip(i, axes, strict=True)]
        y = lax.pad(grid[i], _zero(grid[i]), [(0, 0, 0), *edges, (0, 0, 0)])
        total = y if total is None else total + y
    return total


def _output_transposed(g, axes):
    """A' g, the transpose of `_output`."""
    g = jnp.pad(g, [(0, 0), *((0, a.tile * a.tiles - a.output) for a in axes), (0, 0)])
    grid = _grid([a.tile for a in axes], lambda i: _pick(g, i, axes))
    grid = _transform([a.matrices[2].T for a in axes], grid)
    return [y.reshape(-1, y.shape[-1]) for y in grid.flat]


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
