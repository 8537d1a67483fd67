"""The kernel inception distance: a distance of two sets of features whose estimate has no bias."""

from typing import NamedTuple

import numpy as np

from jaxgan.metrics.samples import blocks, checked_pair


class Estimate(NamedTuple):
    """A mean and how far it may be off."""

    mean: float
    standard_error: float


def _kernel_sum(x, y, block: int) -> float:
    """The sum over all pairs of (x . y / D + 1)^3."""
    total = 0.0
    for part in blocks(x, block):
        for other in blocks(y, block):
            k = part @ other.T
            k /= x.shape[1]
            k += 1
            total += np.vdot(k * k, k)
    return total


def _own_sum(x, block: int) -> float:
    """The same over the pairs of two different rows of x."""
    diagonal = sum((((part**2).sum(1) / x.shape[1] + 1) ** 3).sum() for part in blocks(x, block))
    return _kernel_sum(x, x, block) - diagonal


def mmd2(real, fake, *, block: int = 1024) -> float:
    """The squared maximum mean discrepancy of features [N, D] and [M, D], N and M at least 2, unbiased.

    Under the kernel (x . y / D + 1)^3 (Binkowski et al. 2018, section 4): the mean of the kernel over
    pairs of different real rows, and over pairs of different fake ones, less twice that over pairs of a
    real and a fake. Its mean is 0 where both are of one distribution, so it is often below 0 there.
    Takes the memory of three blocks; block size and order of the rows change it by rounding alone
    (float64, 1e-12 of the kernel's mean).

    Raises:
      ValueError: if a feature is not finite, the widths differ, or a set has fewer than two rows.
    """
    real, fake = checked_pair(real, fake, at_least=2)
    n, m = len(real), len(fake)
    within = _own_sum(real, block) / (n * (n - 1)) + _own_sum(fake, block) / (m * (m - 1))
    return float(within - 2 * _kernel_sum(real, fake, block) / (n * m))


def _subsets(rng, n: int, size: int, count: int):
    """`count` sets of row numbers: those of one permutation share none, and each n // size begin another."""
    for i in range(count):
        at = i % (n // size)
        if at == 0:
            order = rng.permutation(n)
        yield order[at * size : (at + 1) * size]


def kid(real, fake, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> Estimate:
    """The mean of `mmd2` over random subsets of features [N, D] and [M, D], as published numbers are.

    Binkowski et al. 2018, section 4; the value is as it is, where tables often give 1000 times it. The
    first min(N, M) // subset_size pairs of subsets share no row. Only so many count as independent in the
    standard error, which is then that of the samples and not of the subsetting alone. The subsets are a
    function of the seed and of the order of the rows; `mmd2` of whole sets depends on neither.

    Raises:
      ValueError: as `mmd2`, if a set has fewer than `subset_size` rows, or for fewer than two subsets.
    """
    real, fake = checked_pair(real, fake, at_least=2)
    fewest = min(len(real), len(fake))
    if not (2 <= subset_size <= fewest and subsets >= 2):
        raise ValueError(
            f"no {subsets} subsets of {subset_size} from {len(real)} real and {len(fake)} fake rows"
        )
    rng_real, rng_fake = np.random.default_rng(seed).spawn(2)
    pairs = zip(
        _subsets(rng_real, len(real), subset_size, subsets),
        _subsets(rng_fake, len(fake), subset_size, subsets),
        strict=True,
    )
    values = [mmd2(real[i], fake[j]) for i, j in pairs]
    independent = min(subsets, fewest // subset_size)
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(independent)))
