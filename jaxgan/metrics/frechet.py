"""The Frechet distance between two sets of features."""

import numpy as np


def moments(features) -> tuple[np.ndarray, np.ndarray]:
    """The mean f64[D] and the unbiased covariance f64[D, D] of features [N, D], N at least 2.

    Raises:
      ValueError: if a feature is not finite or there are fewer than two rows.
    """
    x = np.asarray(features, np.float64)
    if len(x) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, not {len(x)}")
    if not np.isfinite(x).all():
        raise ValueError("features are not finite")
    mean = x.mean(0)
    x = x - mean
    return mean, x.T @ x / (len(x) - 1)


def frechet_distance(a: tuple, b: tuple) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two `moments`, at least 0.

    Heusel et al. 2017, equation 6. The trace of the root is the sum of the roots of the eigenvalues
    of R C2 R, where R is C1's symmetric root: real by construction, so singular covariances (fewer
    samples than features) need no special case.
    """
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return float(max(distance, 0.0))
