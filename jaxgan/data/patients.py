"""Made-up patients: a hidden disease group, and codes that depend on it alone, so that their means and
correlations are known."""

from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

from jaxgan import random


class Patients(NamedTuple):
    """Groups, and how often each code is given in each."""

    share: np.ndarray  # f64[G], of the patients
    rate: np.ndarray  # f64[G, J], the chance of a code, or of counts its mean number
    counts: bool = False  # whether codes are counted: Poisson's law


def made_up(codes: int = 50, groups: int = 5, *, counts: bool = False, seed: int = 0) -> Patients:
    """Code j is common in group j mod `groups`, each group has some more, and all are rare elsewhere."""
    key = random.fold(jax.random.key(seed), "patients")
    uniform = lambda name, n, *shape: np.asarray(  # noqa: E731
        random.uniform(random.fold(key, name), np.arange(n), shape), np.float64
    )
    own = np.arange(codes)[None] % groups == np.arange(groups)[:, None]
    common = own | (uniform("more", groups, codes) < 0.1)
    rare = 0.01 + 0.09 * uniform("rare", codes)
    rate = np.where(common, 0.4 + 0.5 * uniform("common", groups, codes), rare[None])
    share = 1 + uniform("share", groups)
    return Patients(share / share.sum(), 3 * rate if counts else rate, counts)


def draw(model: Patients, n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes f64[n, J], and the groups i64[n] behind them; patient i does not depend on n."""
    key = random.fold(jax.random.key(seed), "draws")
    u = np.asarray(random.uniform(key, np.arange(n), (1 + model.rate.shape[1],)), np.float64)
    group = (u[:, :1] >= np.cumsum(model.share)[None, :-1]).sum(1)
    rate = model.rate[group]
    return (stats.poisson.ppf(u[:, 1:], rate) if model.counts else (u[:, 1:] < rate)).astype(float), group


def mean(model: Patients) -> np.ndarray:
    """Each code's mean, f64[J]."""
    return model.share @ model.rate


def correlation(model: Patients) -> np.ndarray:
    """The codes' correlations, f64[J, J]: given the group they are independent."""
    m = mean(model)
    covariance = (model.rate.T * model.share) @ model.rate - np.outer(m, m)
    variance = np.diag(covariance) + m if model.counts else m * (1 - m)
    np.fill_diagonal(covariance, variance)
    return covariance / np.sqrt(np.outer(variance, variance))
