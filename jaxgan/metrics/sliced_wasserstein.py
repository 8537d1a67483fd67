"""The sliced Wasserstein distance of two sets of points."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import random
from jaxgan.metrics.samples import blocks, checked_pair

BLOCK = 16  # directions at a time


def _couple(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the sorted points of two sets are matched: numbers i in [0, n), j in [0, m), and the mass of each
    match. That is optimal on a line."""
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # of 1 / (n m)
    return (ends - 1) // m, (ends - 1) // n, np.diff(ends, prepend=0) / (n * m)


def _sorted(x, along) -> np.ndarray:
    return np.sort(np.concatenate([part @ along for part in blocks(x, 4096)]), axis=0)


@lru_cache(maxsize=8)  # the same for all intervals and lanes, and their drawing as long as all else
def _directions(key: bytes, n: int, d: int) -> np.ndarray:
    """Unit vectors f64[n, d]."""
    drawn = random.normal(jax.random.wrap_key_data(np.frombuffer(key, np.uint32)), jnp.arange(n), (d,))
    found = np.asarray(drawn, np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def sliced_wasserstein(key, real, fake, *, projections: int = 512, p: float = 2) -> float:
    """(the mean over directions of W_p^p of the sets projected on them)^(1/p), exact in each direction.

    Rabin et al. 2011 and Bonneel et al. 2015, section 3. Direction i is drawn from `fold_in(key, i)`, so
    more of them begin with the same; in one dimension all give the Wasserstein distance itself. The
    numbers of points may differ. In float64: the order of the rows changes nothing but rounding.

    Args:
      real, fake: [N, D] and [M, D].
      p: at least 1.

    Raises:
      ValueError: if a coordinate is not finite, the widths differ, or p or `projections` is below 1.
    """
    real, fake = checked_pair(real, fake)
    if p < 1 or projections < 1:
        raise ValueError(f"p = {p} and {projections} projections must both be at least 1")
    directions = _directions(np.asarray(jax.random.key_data(key)).tobytes(), projections, real.shape[1])
    i, j, mass = _couple(len(real), len(fake))
    costs = []
    for start in range(0, projections, BLOCK):
        along = directions[start : start + BLOCK].T
        gaps = _sorted(real, along)[i] - _sorted(fake, along)[j]
        costs.append(mass @ np.abs(gaps) ** p)
    return float(np.concatenate(costs).mean() ** (1 / p))
