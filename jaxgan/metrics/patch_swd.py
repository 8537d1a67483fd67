"""ProGAN's score of texture: the sliced Wasserstein distance of local patches, scale by scale."""

import jax
import numpy as np

from jaxgan.metrics.sliced_wasserstein import sliced_wasserstein
from jaxgan.random import fold

SMALLEST = 16  # pixels of the shorter side, at the coarsest scale
PATCH = 7
KERNEL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def _blurred(x) -> np.ndarray:
    """By the 5x5 binomial kernel, mirrored about the pixels of the edge."""
    for axis in (1, 2):
        width = [(2, 2) if i == axis else (0, 0) for i in range(4)]
        padded, n = np.pad(x, width, mode="reflect"), x.shape[axis]
        x = sum(w * padded.take(range(i, i + n), axis) for i, w in enumerate(KERNEL))
    return x


def _doubled(x) -> np.ndarray:
    b, h, w, c = x.shape
    sparse = np.zeros((b, 2 * h, 2 * w, c), x.dtype)
    sparse[:, ::2, ::2] = 4 * x
    return _blurred(sparse)


def laplacian_pyramid(images) -> list[np.ndarray]:
    """What each scale of images [N, H, W, C] adds to the next coarser, f32, finest first (Burt and Adelson
    1983). Sides are halved while they are even and stay at 16 or above; the coarsest scale is whole."""
    level, levels = np.asarray(images, np.float32), []
    while not any(s % 2 for s in level.shape[1:3]) and min(level.shape[1:3]) >= 2 * SMALLEST:
        coarser = _blurred(level)[:, ::2, ::2]
        levels.append(level - _doubled(coarser))
        level = coarser
    return [*levels, level]


def _patches(level, rng, per_image: int) -> np.ndarray:
    """Random 7x7 patches of [N, h, w, C], as f32[N * per_image, 49 C] of mean 0 and deviation 1 in each
    channel."""
    n, h, w, c = level.shape
    y, x = (rng.integers(side - PATCH + 1, size=(n, per_image, 1, 1)) for side in (h, w))
    i, reach = np.arange(n)[:, None, None, None], np.arange(PATCH)
    found = level[i, y + reach[:, None], x + reach].reshape(-1, PATCH, PATCH, c)
    deviation = found.std((0, 1, 2), dtype=np.float64)
    found = (found - found.mean((0, 1, 2), dtype=np.float64)) / np.where(deviation > 0, deviation, 1)
    return found.reshape(len(found), -1).astype(np.float32)


def patch_sliced_wasserstein(key, real, fake, *, per_image: int = 128, projections: int = 512) -> dict:
    """The sliced 1-Wasserstein distance of 7x7 patches at each scale of the Laplacian pyramid.

    Karras et al. 2018 (ProGAN), section 5, who take 16,384 images of each and 128 patches of each image,
    and print 1000 times the value. The patches of a set are normalised over that set by channel, so it
    is blind to brightness, contrast and tint. All patches of a scale are held at once: 16,384 colour
    images make 1.2 GB a set.

    Args:
      real, fake: uint8[N, H, W, C] and [M, H, W, C], of 7 pixels or more.

    Returns:
      {shorter side of the scale in pixels: distance}, finest first.

    Raises:
      ValueError: if the images differ in shape or are smaller than a patch.
    """
    real, fake = np.asarray(real), np.asarray(fake)
    if real.ndim != 4 or real.shape[1:] != fake.shape[1:] or min(real.shape[1:3]) < PATCH:
        raise ValueError(f"no patches of 7x7 to compare in {list(real.shape)} and {list(fake.shape)}")
    distances = {}
    for number, levels in enumerate(zip(laplacian_pyramid(real), laplacian_pyramid(fake), strict=True)):
        seeds = jax.random.bits(fold(key, number, "patches"), (2,)).tolist()
        a, b = (_patches(x, np.random.default_rng(s), per_image) for x, s in zip(levels, seeds, strict=True))
        side = min(levels[0].shape[1:3])
        distances[side] = sliced_wasserstein(
            fold(key, number, "directions"), a, b, projections=projections, p=1
        )
    return distances
