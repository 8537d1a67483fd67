"""The Frechet distance between two sets of features."""

import contextlib
import warnings
from functools import cache, reduce
from typing import NamedTuple

import numpy as np

from jaxgan.metrics.samples import blocks, checked

SMALL = 512  # features; the threads of BLAS wait for each other longer than they work


class Moments(NamedTuple):
    """What the distance compares; a plain pair will do, such as published ones."""

    mean: np.ndarray  # f64[D]
    covariance: np.ndarray  # f64[D, D], unbiased


class Statistics(NamedTuple):
    """What moments are made from. Those of two batches make those of both, whatever device each was on.

    Squares are summed about the batch's own mean: a sum of x x^T would lose a spread of 1 about a mean
    of 1e6 to rounding. So the order and size of the batches change moments by 1e-9 of themselves at most.
    """

    n: int
    mean: np.ndarray  # f64[D]
    scatter: np.ndarray  # f64[D, D], the sum of (x - mean) (x - mean)^T

    @property
    def plain(self) -> Moments:
        """As `moments`, without a warning; n is 2 or more."""
        return Moments(self.mean, self.scatter / (self.n - 1))

    @property
    def moments(self) -> Moments:
        """The mean and the unbiased covariance.

        Warns:
          UserWarning: if the samples are too few for a regular covariance. A distance's bias is then large;
            for unit normal features it falls as D^2 / (4n) (`fid_infinity` extrapolates it away).

        Raises:
          ValueError: of fewer than two samples.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {self.n}")
        if self.n <= len(self.mean):
            warnings.warn(
                f"{self.n} samples of {len(self.mean)} features: their covariance is singular, and a"
                " Frechet distance to them is biased upwards by much",
                stacklevel=2,
            )
        return self.plain


@cache
def _blas():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _threads(d: int):
    """One thread for BLAS on small matrices: of 128 features two took 1700 ms where one takes 2, on two cores
    that others used too."""
    return _blas().limit(limits=1, user_api="blas") if d <= SMALL else contextlib.nullcontext()


def statistics(features, *, block: int = 4096) -> Statistics:
    """Statistics in float64 of features [N, D], N at least 1, read in blocks of rows.

    Raises:
      ValueError: if a feature is not finite or there are no rows.
    """
    x = checked(features)
    shift = x[0].astype(np.float64)  # exact for equal rows, and near the mean for all others
    mean = shift + sum((part - shift).sum(0) for part in blocks(x, block)) / len(x)
    scatter = np.zeros((len(mean), len(mean)))
    with _threads(len(mean)):
        for part in blocks(x, block):
            part -= mean
            scatter += part.T @ part
    return Statistics(len(x), mean, scatter)


def merge(*parts: Statistics) -> Statistics:
    """The statistics of all samples of the parts (Chan, Golub and LeVeque 1983, equations 2.1)."""

    def both(a: Statistics, b: Statistics) -> Statistics:
        n, apart = a.n + b.n, b.mean - a.mean
        scatter = a.scatter + b.scatter + np.outer(apart, apart) * (a.n * b.n / n)
        return Statistics(n, a.mean + apart * (b.n / n), scatter)

    return reduce(both, parts)


def moments(features) -> Moments:
    """The mean f64[D] and the unbiased covariance f64[D, D] of features [N, D], N at least 2.

    Warns:
      UserWarning: as `Statistics.moments`.

    Raises:
      ValueError: if a feature is not finite or there are fewer than two rows.
    """
    return statistics(features).moments


def _root(covariance) -> np.ndarray:
    """F f64[D, r] with F F^T the covariance: Cholesky's, or if it is singular of as many columns as its
    rank."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        return vectors[:, kept] * np.sqrt(values[kept])


def frechet_distance(a: tuple, b: tuple) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two `moments`, at least 0.

    Heusel et al. 2017, equation 6. With C1 = F F^T and C2 = G G^T, C1 C2 has the eigenvalues of
    (F^T G) (F^T G)^T beside zeros, so the trace of its root is the sum of the singular values of F^T G.
    That is real by construction and takes no root of a rounding error, so singular covariances (fewer
    samples than features) are as exact as others.

    Raises:
      ValueError: if a moment is not finite.
    """
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    if not all(np.isfinite(x).all() for x in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("moments are not finite")
    with _threads(len(mean_a)):
        cross = np.linalg.svd(_root(cov_a).T @ _root(cov_b), compute_uv=False).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return float(max(distance, 0.0))


def fid_infinity(
    features, reference: tuple, *, smallest: int = 5000, points: int = 15, seed: int = 0
) -> float:
    """The Frechet distance of features [N, D] to a reference's moments, extrapolated to endless samples.

    Chong and Forsyth 2020, section 3: the distance of n samples is linear in 1/n to first order. The
    line is fitted to `points` random subsets without replacement, of `smallest` to N rows in equal steps,
    and its value at 1/n = 0 returned, which may be below 0. What bias the reference has of its own stays.
    The subsets are a function of the seed and of the order of the rows.

    Raises:
      ValueError: if a feature is not finite, or unless 2 <= smallest < N and points >= 2.
    """
    x = checked(features)
    if not (2 <= smallest < len(x) and points >= 2):
        raise ValueError(f"no line through {points} subsets of {smallest} to {len(x)} rows")
    rng = np.random.default_rng(seed)
    sizes = np.linspace(smallest, len(x), points).astype(int)
    subsets = [rng.choice(len(x), size, replace=False) for size in sizes]
    distances = [frechet_distance(moments(x[subset]), reference) for subset in subsets]
    return float(np.polyfit(1 / sizes, distances, 1)[1])


def intra_class_distances(real, real_label, fake, fake_label) -> dict:
    """The Frechet distance of each class's own features; their mean is the intra FID.

    Miyato and Koyama 2018, section 4. A label that the generator ignores leaves the distance of all
    samples as it is, and this one not.

    Args:
      real, fake: [N, D] and [M, D].
      real_label, fake_label: integers [N] and [M]. The classes are the real labels that occur.

    Returns:
      {class: distance}, in the order of the classes.

    Warns:
      UserWarning: if a class has too few samples, as `Statistics.moments`; once for all classes.

    Raises:
      ValueError: if a class has fewer than two fake or real samples, naming it; if a fake label is of no
        class; or if labels and features differ in number.
    """
    real, fake, real_label, fake_label = (np.asarray(x) for x in (real, fake, real_label, fake_label))
    if (real_label.shape, fake_label.shape) != ((len(real),), (len(fake),)):
        raise ValueError("labels must be one for each row of features")
    classes = np.unique(real_label).tolist()
    unknown = sorted(set(np.unique(fake_label).tolist()) - set(classes))
    if unknown:
        raise ValueError(f"class {unknown[0]} has no real samples")
    distances, few = {}, []
    for c in classes:
        one, other = real[real_label == c], fake[fake_label == c]
        for kind, x in (("real", one), ("fake", other)):
            if len(x) < 2:
                raise ValueError(f"class {c} has {len(x)} {kind} samples; a distance needs 2")
        if min(len(one), len(other)) <= one.shape[1]:
            few.append(c)
        distances[c] = frechet_distance(*(statistics(x).plain for x in (other, one)))
    if few:
        warnings.warn(
            f"{len(few)} of {len(classes)} classes have no more samples than features, {real.shape[1]}: their"
            " Frechet distances are biased upwards by much",
            stacklevel=2,
        )
    return distances
