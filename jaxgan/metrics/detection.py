"""How well scores tell anomalies from what is normal, and the plain scores that any other is beside."""

import numpy as np
from scipy.linalg import eigh
from scipy.stats import rankdata

from jaxgan.metrics.samples import checked, checked_pair

COMPONENTS = (1, 2, 4, 8, 16, 32, 64, 128)  # of PCA, to choose from


def auc(normal, anomalous) -> float:
    """The chance that one of scores anomalous [M] is above one of normal [N]; a tie counts 1/2.

    Raises:
      ValueError: if there are none of either, or one is not a number.
    """
    normal, anomalous = (np.asarray(x, np.float64) for x in (normal, anomalous))
    n, m = len(normal), len(anomalous)
    if not n or not m or np.isnan(normal).any() or np.isnan(anomalous).any():
        raise ValueError(f"an AUC takes scores of both kinds, all of them numbers; there are {n} and {m}")
    ranks = rankdata(np.concatenate([anomalous, normal]))[:m]
    return float((ranks.sum() - m * (m + 1) / 2) / (n * m))


def auc_interval(normal, anomalous, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % of `auc` over resamples of both kinds with replacement (the percentile bootstrap)."""
    rng = np.random.default_rng(seed)
    normal, anomalous = np.asarray(normal), np.asarray(anomalous)
    n, m = len(normal), len(anomalous)
    # How often each is drawn, and which pairs are in the right order.
    some, others = (rng.multinomial(size, np.full(size, 1 / size), resamples) for size in (n, m))
    right = (anomalous[None] > normal[:, None]) + 0.5 * (anomalous[None] == normal[:, None])
    found = ((some @ right) * others).sum(1) / (n * m)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def from_mean(train, x) -> np.ndarray:
    """The Euclidean distance of each of x [M, D] from the mean of train [N, D], f64[M]."""
    train, x = checked_pair(train, x)
    return np.linalg.norm(x - train.mean(0, dtype=np.float64), axis=1)


def from_components(train, x, components=COMPONENTS) -> dict[int, np.ndarray]:
    """How far each of x [M, D] is from the plane of the first k principal components of train [N, D], f64[M],
    by k: those of `components` that leave a direction out."""
    train, x = checked_pair(train, x, at_least=2)
    mean = train.mean(0, dtype=np.float64)
    own, x = train - mean, x - mean
    n, d = own.shape
    ks = [k for k in components if k < min(n, d)]
    # Of the two matrices with the same eigenvalues, the smaller.
    products = own.T @ own if d <= n else own @ own.T
    size = len(products)
    _, vectors = eigh(products, subset_by_index=(size - max(ks, default=1), size - 1))
    axes = vectors if d <= n else own.T @ vectors
    axes = (axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12))[:, ::-1]
    along, total = np.square(x @ axes), np.square(x).sum(1)
    return {k: np.sqrt(np.maximum(total - along[:, :k].sum(1), 0)) for k in ks}


def flat(images) -> np.ndarray:
    """Images uint8[N, H, W, C] as f32[N, D] in [0, 1]."""
    return checked(np.asarray(images).reshape(len(images), -1).astype(np.float32) / 255)
