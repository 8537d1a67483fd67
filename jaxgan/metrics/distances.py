"""Euclidean distances between the rows of two sets, in blocks, with ties decided as in exact arithmetic.

Squares come from |x|^2 + |y|^2 - 2 x.y, one matrix product, whose rounding depends on the block. Wherever
that rounding could decide a comparison the square is taken anew from the difference x - y, which depends
on the two rows alone. So results depend neither on the block size nor on the order of the rows, and a
copy of a row is at distance 0.
"""

import numpy as np

from jaxgan.metrics.samples import blocks

SPARE = 4  # nearest rows looked at beyond those asked for, against swaps by rounding


def _exact(x, y) -> np.ndarray:
    return np.square(x.astype(np.float64) - y.astype(np.float64)).sum(-1)


def _squares(x, y, block: int):
    """For each block of x: its first row's number, f64[at most block, M], and how far those may be off."""
    centre = y.mean(0, dtype=np.float64)
    y = y - centre
    lengths = (y**2).sum(1)
    off = 4 * x.shape[1] * np.finfo(np.float64).eps
    for number, part in enumerate(blocks(x, block)):
        part -= centre
        both = (part**2).sum(1)[:, None] + lengths[None]
        yield number * block, both - 2 * part @ y.T, off * both


def nearest_squares(x, y=None, *, k: int = 1, block: int = 512) -> np.ndarray:
    """The squares f64[N, k] of the distances from x [N, D] to its k nearest rows of y [M, D], ascending.

    Without y: to the k nearest other rows of x.

    Raises:
      ValueError: if there are fewer than k rows to be near to.
    """
    alone = y is None
    y = x if alone else y
    if len(y) - alone < k:
        raise ValueError(f"the {k} nearest of {len(y) - alone} rows")
    found = np.empty((len(x), k))
    for start, squares, _ in _squares(x, y, block):
        rows = np.arange(start, start + len(squares))
        if alone:
            squares[rows - start, rows] = np.inf
        count = min(k + SPARE, len(y) - alone)
        near = np.argpartition(squares, count - 1, axis=1)[:, :count]
        found[rows] = np.sort(_exact(x[rows, None], y[near]), axis=1)[:, :k]
    return found


def in_balls(x, squared_radii, y, *, block: int = 512):
    """Which of y [M, D] is nearer to x_i than radius i, strictly, of x [N, D] and f64[N]: bool[b, M] for each
    block of x in turn."""
    for start, squares, off in _squares(x, y, block):
        radii = squared_radii[start : start + len(squares), None]
        inside = squares < radii
        doubtful = np.abs(squares - radii) <= off
        for i in np.flatnonzero(doubtful.any(1)):
            j = np.flatnonzero(doubtful[i])
            inside[i, j] = _exact(x[start + i][None], y[j]) < radii[i]
        yield inside
