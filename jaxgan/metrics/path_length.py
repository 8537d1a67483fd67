"""The perceptual path length: how evenly images change along a path between latents."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import random
from jaxgan.random import fold


@jax.jit
def lerp(a, b, t):
    """a + t (b - a) for [B, d], [B, d] and t [B]."""
    return a + t[:, None] * (b - a)


@jax.jit
def slerp(a, b, t):
    """Along the arc from a to b, whose ends may differ in length: [B, d] of [B, d], [B, d] and t [B].

    Shoemake 1985: (sin((1 - t) w) a + sin(t w) b) / sin w with w the angle between a and b, and `lerp`
    where they are parallel. NaN where one of them is 0.
    """
    cosine = (a * b).sum(1) / (jnp.linalg.norm(a, axis=1) * jnp.linalg.norm(b, axis=1))
    angle = jnp.arccos(jnp.clip(cosine, -1, 1))
    straight = jnp.sin(angle) < 1e-6
    angle = jnp.where(straight, 1.0, angle)
    arc = (jnp.sin((1 - t) * angle)[:, None] * a + jnp.sin(t * angle)[:, None] * b) / jnp.sin(angle)[:, None]
    return jnp.where(straight[:, None], lerp(a, b, t), arc)


def trimmed_mean(x, percent: float = 1.0) -> float:
    """The mean of x [N] without what is outside its percentiles `percent` and 100 - `percent`.

    The lower is rounded down to a value of x and the upper up, and both are kept, as in StyleGAN's code:
    of 1000 values 9 fall away on each side.
    """
    x = np.asarray(x, np.float64)
    low = np.percentile(x, percent, method="lower")
    high = np.percentile(x, 100 - percent, method="higher")
    return float(x[(low <= x) & (x <= high)].mean())


def perceptual_path_length(
    generate: Callable,
    distance: Callable,
    latent: Callable,
    key,
    *,
    n: int = 10_000,
    path: Callable = slerp,
    at: str = "full",
    epsilon: float = 1e-4,
    batch_size: int = 64,
) -> float:
    """The trimmed mean of distance(G(path(t)), G(path(t + epsilon))) / epsilon^2 between random latents.

    Karras et al. 2019 (StyleGAN), equations 2 and 3, who take n = 100,000. Pair i of latents is drawn from
    the key's slot i, so the batch size changes nothing but rounding; in float32 that is 1e-3 of a pair.

    Args:
      generate: latents [B, d] -> images [B, ...]; jit it.
      distance: (images, images) -> [B], quadratic in a small change, such as the squared distance of
        features: a length itself would give values that depend on epsilon.
      latent: (key, slot i32[B]) -> [B, d], such as `jaxgan.random.normal` with its shape bound; for the
        space W, its mapped latents, with `generate` the synthesis and `path` `lerp`.
      at: "full" for t uniform in [0, 1), "end" for t = 0.

    Raises:
      ValueError: for another `at`, or if a distance is not finite or not [B].
    """
    if at not in ("full", "end"):
        raise ValueError(f'at is "full" or "end", not {at!r}')
    lengths = []
    for start in range(0, n, batch_size):
        slot = start + jnp.arange(batch_size)  # beyond n in the last, so that all have one shape
        a, b = (latent(fold(key, end), slot) for end in ("start", "end"))
        t = random.uniform(fold(key, "t"), slot) if at == "full" else jnp.zeros(batch_size)
        found = np.asarray(distance(generate(path(a, b, t)), generate(path(a, b, t + epsilon))))
        if found.shape != (batch_size,):
            raise ValueError(f"distances must be [{batch_size}], not {list(found.shape)}")
        lengths.append(found)
    lengths = np.concatenate(lengths)[:n].astype(np.float64) / epsilon**2
    if not np.isfinite(lengths).all():
        raise ValueError(f"{(~np.isfinite(lengths)).sum()} of {n} distances are not finite")
    return trimmed_mean(lengths)
