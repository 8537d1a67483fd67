"""Known distributions, drawn on the device: what a sampler learnt can be counted exactly.

As in `jaxgan.random`, example i draws from the key folded with `slot[i]`, so that neither the number of
devices nor the size of a microbatch changes a sample.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import random


class Mixture(NamedTuple):
    """Equally likely normal modes that share one diagonal covariance."""

    centres: jax.Array  # f32[K, d]
    std: jax.Array  # f32[], or f32[d] where the coordinates differ


def sample(mixture: Mixture, key, slot):
    """Draws from the mixture, f32[B, d]."""
    k, d = mixture.centres.shape
    mode = random.integers(random.fold(key, "mode"), slot, k)
    noise = random.normal(random.fold(key, "noise"), slot, (d,))
    return mixture.centres[mode] + jnp.broadcast_to(mixture.std, noise.shape) * noise


def ring(n_modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """Normal modes at equal angles on a circle, the first at angle 0. The published variants:

    - PacGAN (Lin et al. 2018, table 1; its code), the defaults; the notebook of unrolled GAN has the
      same radius and std.
    - Unrolled GAN (Metz et al. 2017, appendix A): `ring(radius=2, std=0.02)`.
    - WGAN-GP's toy (Gulrajani et al. 2017, figure 1; its code): `ring(radius=2 / 1.414, std=0.02 / 1.414)`,
      of unit variance in each coordinate.

    Modes placed by `linspace(0, 2 pi, 8)`, as in that notebook, are seven: the last falls on the first,
    and so one has twice the weight.
    """
    angle = 2 * jnp.pi * jnp.arange(n_modes) / n_modes
    return Mixture(radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1), jnp.float32(std))


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Normal modes on a square lattice about the origin, side^2 of them. The published variants:

    - VEEGAN (Srivastava et al. 2017, section 4.1) and PacGAN (its code), the defaults: {-4, -2, 0, 2, 4}^2.
    - WGAN-GP's toy (its code): `grid(spacing=2 / 2.828, std=0.05 / 2.828)`, of unit variance in each
      coordinate.
    """
    line = spacing * (jnp.arange(side) - (side - 1) / 2)
    x, y = jnp.meshgrid(line, line, indexing="ij")
    return Mixture(jnp.stack([x.ravel(), y.ravel()], 1), jnp.float32(std))


def embedded(
    means: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, -2.0, -2.5, 10.0, 0.25, -13.0, -5.5),
    dimension: int = 1200,
    intrinsic: int = 700,
    std: float = 1.0,
) -> Mixture:
    """Normal modes of `intrinsic` dimensions in a space of more, whose other coordinates do not vary.

    VEEGAN's 1200-D data (Srivastava et al. 2017, section 4.1), which the paper gives as ten 700-D
    Gaussians in 1200 dimensions and PacGAN's code completes: all 1200 coordinates of a centre are equal
    to the mode's mean, and the first 700 have unit noise.

    The paper counts a sample as of high quality within 10 standard deviations of its mode's centre. If
    that is the Euclidean distance over the std of a coordinate, as in PacGAN's code, a perfect sampler
    scores 0: its samples lie at 26.4 +- 0.7. Within 29 it scores 99.98 %.
    """
    centres = jnp.broadcast_to(jnp.asarray(means, jnp.float32)[:, None], (len(means), dimension))
    return Mixture(centres, jnp.where(jnp.arange(dimension) < intrinsic, std, 0.0))


def swiss_roll(key, slot, noise: float = 0.25):
    """A spiral with normal noise, f32[B, 2]: (t cos t, t sin t) / 7.5 for t uniform in [1.5 pi, 4.5 pi).

    WGAN-GP's toy (Gulrajani et al. 2017, figure 1; its code): scikit-learn's roll without its height;
    the noise, too, is divided by 7.5.
    """
    t = random.uniform(random.fold(key, "t"), slot, minval=1.5 * jnp.pi, maxval=4.5 * jnp.pi)
    spiral = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1)
    return (spiral + noise * random.normal(random.fold(key, "noise"), slot, (2,))) / 7.5


def mode_number(digits):
    """The mode i32[...] in [0, 1000) of digits i32[..., 3], the hundreds first."""
    return jnp.asarray(digits) @ jnp.array([100, 10, 1])


def stacked_digits(key, slot, images, labels):
    """Three independent random digits as the channels of one image: a thousand modes.

    Stacked MNIST (Metz et al. 2017, section 3.3.1) from any set of grey digits, such as the 8x8 ones of
    `load("digits", image_size=8)`.

    Args:
      images: uint8[N, S, S, 1].
      labels: i32[N] in [0, 10).

    Returns:
      f32[B, S, S, 3] in [-1, 1] and the mode i32[B].
    """
    index = random.integers(random.fold(key, "digit"), slot, len(images), (3,))
    stacked = jnp.moveaxis(jnp.asarray(images)[index, ..., 0], 1, -1)
    return stacked.astype(jnp.float32) / 127.5 - 1, mode_number(jnp.asarray(labels)[index])
