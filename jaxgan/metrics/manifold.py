"""Precision, recall, density and coverage: fidelity and variety apart, by balls around the samples.

A ball around a sample reaches to its k-th nearest other sample of its own set; what is nearer, strictly,
is inside. So what has more than k copies of itself has balls that hold nothing, not even the copies.
"""

import numpy as np

from jaxgan.metrics.distances import in_balls, nearest_squares
from jaxgan.metrics.samples import checked_pair


def _balls(x, y, k: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """How many balls of x [N, D] hold each of y [M, D], i64[M], and which balls hold any, bool[N]."""
    radii = nearest_squares(x, k=k, block=block)[:, -1]
    counts, occupied = np.zeros(len(y), np.int64), []
    for inside in in_balls(x, radii, y, block=block):
        counts += inside.sum(0)
        occupied.append(inside.any(1))
    return counts, np.concatenate(occupied)


def precision_recall(real, fake, *, k: int = 3, block: int = 512) -> tuple[float, float]:
    """The share of fakes inside any real sample's ball, and of real samples inside any fake's, in [0, 1].

    Kynkaanniemi et al. 2019, equations 1 and 2, who take 50,000 of each. Both depend on the number of
    samples, and a single outlier's ball can hold many; see `density_coverage`. Memory grows as
    block (N + M) beside the features in float64; neither the block size nor the order of rows matters.

    Args:
      real, fake: features [N, D] and [M, D], N and M above k.

    Raises:
      ValueError: if a feature is not finite, the widths differ, or a set has k rows or fewer.
    """
    real, fake = checked_pair(real, fake, at_least=k + 1)
    precise = _balls(real, fake, k, block)[0] > 0
    recalled = _balls(fake, real, k, block)[0] > 0
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real, fake, *, k: int = 5, block: int = 512) -> tuple[float, float]:
    """How many real balls a fake lies in, over k, in the mean, and the share of real balls with a fake.

    Naeem et al. 2020, equations 3 and 4. The balls are real samples' alone, so an outlying fake changes
    little. For two samples of one distribution the density's mean is 1 (and it may exceed 1), and the
    coverage's is 1 - (N - 1)...(N - k) / ((N + M - 1)...(N + M - k)), about 1 - 2^-k for N = M (their
    appendix).

    Args:
      real, fake: features [N, D] and [M, D], N above k.

    Raises:
      ValueError: as `precision_recall`.
    """
    real, fake = checked_pair(real, fake)
    if len(real) <= k:
        raise ValueError(f"real features must have at least {k + 1} rows, not {len(real)}")
    counts, occupied = _balls(real, fake, k, block)
    return float(counts.sum() / (k * len(fake))), float(occupied.mean())
