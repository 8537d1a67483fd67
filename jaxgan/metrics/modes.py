"""Which modes of a known distribution a sampler reaches, how well, and whether it stays with them."""

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxgan.data.synthetic import Mixture, mode_number


def assign(samples, mixture: Mixture, *, n_std: float = 3.0):
    """The nearest mode of each of samples [N, d], and whether it is of high quality.

    That is: nearer than `n_std` standard deviations (of the coordinate that varies most) to the mode's
    centre, by Euclidean distance (Srivastava et al. 2017, section 4.1). In d dimensions a perfect sampler
    has the share P(chi^2_d < n_std^2): 98.9 % for 3 in 2-D. A sample that is not finite is never of high
    quality, and its mode is 0.

    Returns:
      i32[N] in [0, K) and bool[N].
    """
    distances = jax.lax.map(lambda centre: jnp.linalg.norm(samples - centre[None], axis=1), mixture.centres)
    mode = distances.argmin(0).astype(jnp.int32)
    return mode, distances.min(0) < n_std * jnp.max(mixture.std)


def captured(counts):
    """How many modes have at least one sample that counts, i32[] of counts i32[K]."""
    return (counts > 0).sum()


def reverse_kl(counts):
    """KL(p || uniform) in nats, of p in proportion to counts i32[K]: 0 to log K, and NaN if all are 0.

    Lin et al. 2018 (PacGAN), table 1. Of a perfect sampler N samples have (K - 1) / (2 N) in the mean.
    """
    p = counts / counts.sum()
    return xlogy(p, p * len(counts)).sum()


def drift(shares):
    """How far the shares move from one moment to the next: the mean total variation, in [0, 1].

    The sum over modes of |change| / 2, where what is of no mode counts as one more. 0 for a sampler that
    stays, be it with all modes or with one; 1 for one whose samples are all elsewhere each time.

    N fresh samples a moment of constant shares p have about the sum of sqrt(p (1 - p) / (pi N)), which is
    sqrt((K - 1) / (pi N)) for uniform ones: 0.030 for 8 modes and 2500 samples.

    Args:
      shares: f32[T, K] of successive moments, each row with a sum of at most 1.

    Raises:
      ValueError: if there are fewer than two moments.
    """
    if len(shares) < 2:
        raise ValueError(f"a drift needs at least 2 moments, not {len(shares)}")
    change = jnp.diff(jnp.asarray(shares), axis=0)
    return (jnp.abs(change).sum(1) + jnp.abs(change.sum(1))).mean() / 2


def _figures(mode, counted, n_modes):
    counts = jnp.zeros(n_modes, jnp.int32).at[mode].add(counted.astype(jnp.int32))
    return {
        "captured": captured(counts),
        "reverse_kl": reverse_kl(counts),
        "shares": counts / len(mode),
    }


def modes(samples, mixture: Mixture, *, n_std: float = 3.0) -> dict:
    """The figures of VEEGAN and PacGAN for samples [N, d]; both took N = 2500.

    Returns:
      `captured` modes i32[], the share `high_quality` f32[], `reverse_kl` f32[], and `shares` f32[K]: the
      high-quality samples of each mode over all N. Only those count for any of them, as in PacGAN's code.
    """
    mode, good = assign(samples, mixture, n_std=n_std)
    return {"high_quality": good.mean(), **_figures(mode, good, len(mixture.centres))}


def stacked_modes(digits) -> dict:
    """`captured`, `reverse_kl` and `shares` over 1000 modes, of the digits i32[N, 3] that a classifier sees
    in the three channels. Every sample counts (Lin et al. 2018, table 2: N = 26,000)."""
    mode = mode_number(digits)
    return _figures(mode, jnp.ones_like(mode), 1000)
