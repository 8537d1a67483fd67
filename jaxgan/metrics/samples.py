"""What a score of two samples takes: finite numbers in rows of one width."""

import numpy as np


def checked(x, *, name: str = "features", at_least: int = 1) -> np.ndarray:
    """x as an array [N, D] of its own dtype, every entry of it finite.

    Raises:
      ValueError: if it has no two axes, fewer than `at_least` rows, no columns, or a NaN or infinity.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"{name} must be [N, D], not {list(x.shape)}")
    if len(x) < at_least:
        raise ValueError(f"{name} must have at least {at_least} rows, not {len(x)}")
    if not (np.isfinite(x.min()) and np.isfinite(x.max())):  # a NaN is the least and the greatest
        raise ValueError(f"{name} are not finite: {(~np.isfinite(x)).any(1).sum()} of {len(x)} rows")
    return x


def checked_pair(real, fake, *, at_least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Both `checked`, as [N, D] and [M, D].

    Raises:
      ValueError: as `checked`, or if the widths differ.
    """
    real = checked(real, name="real features", at_least=at_least)
    fake = checked(fake, name="fake features", at_least=at_least)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real features have {real.shape[1]} columns and fake ones {fake.shape[1]}")
    return real, fake


def blocks(x, size: int):
    """Successive rows of x [N, D] as f64[at most size, D], so that no whole copy is made."""
    for start in range(0, len(x), size):
        yield x[start : start + size].astype(np.float64)
