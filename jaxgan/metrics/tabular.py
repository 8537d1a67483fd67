"""Are generated records as the real ones, and do they give any of these away?

Column by column, pair by pair, by what a classifier learns of them, and by how near they are to records that
were trained on. Arrays are numbers: [N, D], of a category its indicators.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from jaxgan.metrics.distances import nearest_squares
from jaxgan.metrics.samples import checked, checked_pair


class DimensionWise(NamedTuple):
    """Column by column; `plots` of one over the other are the figure of the paper."""

    real: np.ndarray  # f64[D], the share of ones of each column
    fake: np.ndarray  # f64[D]
    correlation: float  # Pearson's, over the columns; NaN if a side has all its columns alike
    max_error: float  # the greatest |real - fake|


def dimension_wise_probability(real, fake) -> DimensionWise:
    """The mean of each column of real [N, D] and fake [M, D], and how well they agree.

    Choi et al. 2017 (medGAN), section 4.2, for binary columns; of others it compares the means. A high
    correlation alone does not tell a sampler that is off by a constant or a factor.

    Raises:
      ValueError: if an entry is not finite or the widths differ.
    """
    real, fake = (x.mean(0, dtype=np.float64) for x in checked_pair(real, fake))
    varied = np.ptp(real) > 0 and np.ptp(fake) > 0
    correlation = float(np.corrcoef(real, fake)[0, 1]) if varied else float("nan")
    return DimensionWise(real, fake, correlation, float(np.abs(real - fake).max()))


def correlations(x) -> np.ndarray:
    """Pearson's correlations of the columns of x [N, D], f64[D, D]; of one that does not vary 0.

    Raises:
      ValueError: if an entry is not finite.
    """
    x = checked(x, name="records").astype(np.float64)
    apart = x - x.mean(0)
    deviation = np.sqrt(np.square(apart).mean(0))
    apart = apart / np.where(deviation > 1e-12 * np.abs(x).max(0), deviation, np.inf)
    return apart.T @ apart / len(x)


def pair_error(real, fake, column=None) -> float:
    """The mean absolute difference of the correlations of real [N, D] and fake [M, D], over pairs of columns.

    Args:
      column: i[D], of which column each is an indicator or the number: pairs within one are left out.

    Raises:
      ValueError: if an entry is not finite, the widths differ, or there is no pair.
    """
    real, fake = checked_pair(real, fake)
    column = np.arange(real.shape[1]) if column is None else np.asarray(column)
    pairs = column[:, None] < column[None]
    if not pairs.any():
        raise ValueError("there is no pair of columns")
    return float(np.abs(correlations(real) - correlations(fake))[pairs].mean())


def f1(train, label, test, truth) -> float:
    """How well a logistic regression that learnt labels i[N] of train [N, D] tells those of test [M, D].

    Of two classes, numbered 0 and 1, the F1 of ones; of more the mean over the classes that there are in
    `truth`. What it learnt from one class alone it finds everywhere.
    """
    # A second, which an import of this file need not wait for.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    train, test = checked_pair(train, test)
    label, truth = np.asarray(label, int), np.asarray(truth, int)
    if len(np.unique(label)) == 1:
        told = np.full(len(truth), label[0])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            told = LogisticRegression(max_iter=200).fit(train, label).predict(test)
    if max(label.max(), truth.max()) <= 1:
        return float(f1_score(truth, told, zero_division=0.0))
    return float(f1_score(truth, told, labels=np.unique(truth), average="macro", zero_division=0.0))


def r2(train, value, test, truth) -> float:
    """The share of the variance of `truth` [M] that a linear regression on train [N, D], value [N], explains
    of test [M, D]: 1 at best, and 0 where it explains none or worse."""
    train, test = checked_pair(train, test)
    value, truth = np.asarray(value, np.float64), np.asarray(truth, np.float64)
    with_one = lambda x: np.concatenate([x, np.ones((len(x), 1))], 1)  # noqa: E731
    told = with_one(test) @ np.linalg.lstsq(with_one(train), value, rcond=1e-6)[0]
    total = np.square(truth - truth.mean()).sum()
    return float(max(0.0, 1 - np.square(truth - told).sum() / total)) if total > 0 else 0.0


def membership(members, others, fake) -> float:
    """The AUC of an attack that takes records near to a generated one for records that were trained on.

    It is the chance that one of members [N, D], which were trained on, is nearer to its nearest of fake
    [M, D] than one of others [K, D], which were not; a tie counts 1/2. 0.5 gives nothing away, 1 is a copy.

    Raises:
      ValueError: if an entry is not finite or the widths differ.
    """
    members, fake = checked_pair(members, fake)
    others, _ = checked_pair(others, fake)
    near = [nearest_squares(x, fake)[:, 0] for x in (members, others)]
    n, k = map(len, near)
    ranks = rankdata(-np.concatenate(near))[:n]
    return float((ranks.sum() - n * (n + 1) / 2) / (n * k))


def closeness(members, others, fake) -> float:
    """The median distance of fakes [M, D] to the nearest of members [N, D], over that of others [K, D].

    About 1 for records of the data's distribution, 0 for copies; NaN if half of the others are themselves
    copies of members.
    """
    members, fake = checked_pair(members, fake)
    others, _ = checked_pair(others, fake)
    own, apart = (float(np.sqrt(np.median(nearest_squares(x, members)))) for x in (fake, others))
    return own / apart if apart > 0 else float("nan")
