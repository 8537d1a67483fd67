"""Multi-scale structural similarity of image pairs, and what it says of a class's diversity."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

WINDOW = 11
SIGMA = 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def n_scales(height: int, width: int) -> int:
    """How many scales an image has on whose coarsest the window still fits, 1 to 5.

    5 from 176 pixels of the shorter side on, 4 from 88, 3 from 44, 2 from 22.
    """
    return min(max(min(height, width) // WINDOW, 1).bit_length(), len(WEIGHTS))


def _smoothing(side: int) -> np.ndarray:
    """The Gaussian window's means along a side, f32[side, places of the window]."""
    size = min(WINDOW, side)
    window = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * SIGMA**2))
    places = side - size + 1
    return np.stack(
        [np.pad(window / window.sum(), (i, places - 1 - i)) for i in range(places)], 1, dtype=np.float32
    )


def _halved(x):
    b, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _similarity(a, b):
    """Structural similarity, and its part without luminance, of [B, H, W, C] in [0, 1]: [B, C] each."""
    down, across = (_smoothing(side) for side in a.shape[1:3])

    def smooth(x):
        return jnp.einsum("bhwc,hi,wj->bijc", x, down, across, precision="highest")

    mean_a, mean_b = smooth(a), smooth(b)
    da, db = (x - x.mean((1, 2), keepdims=True) for x in (a, b))  # a flat image has the variance 0, not 1e-7
    rest_a, rest_b = smooth(da), smooth(db)
    var_a, var_b = smooth(da * da) - rest_a**2, smooth(db * db) - rest_b**2
    covariance = smooth(da * db) - rest_a * rest_b
    c1, c2 = 0.01**2, 0.03**2
    contrast = (2 * covariance + c2) / (var_a + var_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * contrast).mean((1, 2)), contrast.mean((1, 2))


@partial(jax.jit, static_argnames="scales")
def _ms_ssim(a, b, scales):
    a, b = (x.astype(jnp.float32) / 255 for x in (a, b))
    weights = np.asarray(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        whole, contrast = _similarity(a, b)
        last = scale == scales - 1
        product *= jnp.maximum(whole if last else contrast, 0) ** weight  # a negative has no root
        if not last:
            a, b = _halved(a), _halved(b)
    return product.mean(1)


def ms_ssim(a, b, *, scales: int | None = None) -> np.ndarray:
    """The multi-scale structural similarity of each pair, f32[B], from 0 to 1 (alike).

    Wang, Simoncelli and Bovik 2003, equation 7: an 11x11 Gaussian window of deviation 1.5, only where it
    lies inside; five scales, each the 2x2 means of the one before, with exponents 0.0448, 0.2856, 0.3001,
    0.2363 and 0.1333, and luminance at the last alone. A small image has fewer scales (`n_scales`; 3 for
    64 pixels, 2 for 28 and 32), with the exponents of the first ones scaled to a sum of 1, and below 11
    pixels a window of its own side: such numbers compare with those of the same size only. A negative
    mean counts as 0, and channels are averaged last. In float32: right to 2e-5 of itself.

    Args:
      a, b: uint8[B, H, W, C].

    Raises:
      ValueError: if the images are not uint8, their shapes differ, or there are not 1 to 5 scales.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"images must be uint8, not {a.dtype} and {b.dtype}")
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"images must be pairs [B, H, W, C], not {list(a.shape)} and {list(b.shape)}")
    scales = n_scales(*a.shape[1:3]) if scales is None else scales
    if not 1 <= scales <= len(WEIGHTS) or min(a.shape[1:3]) >> (scales - 1) == 0:
        raise ValueError(f"no {scales} scales of images of {a.shape[1]}x{a.shape[2]}")
    return np.asarray(_ms_ssim(a, b, scales))


def class_ms_ssim(images, label, *, pairs: int = 100, seed: int = 0) -> dict:
    """The mean `ms_ssim` of random pairs of images of a class, for each class: high where it has collapsed.

    Odena et al. 2017, section 4.2, with 100 pairs a class; to be read beside the data's own. The pairs of
    two different images are a function of the seed, the class and the order of its images.

    Args:
      images: uint8[N, H, W, C].
      label: integers [N], at least 0.

    Returns:
      {class: mean in [0, 1]}, in the order of the classes.

    Raises:
      ValueError: if a class has fewer than two images, naming it, or as `ms_ssim`.
    """
    images, label = np.asarray(images), np.asarray(label)
    if label.shape != (len(images),):
        raise ValueError(f"labels must be [{len(images)}], not {list(label.shape)}")
    similar = {}
    for c in np.unique(label).tolist():
        own = np.flatnonzero(label == c)
        if len(own) < 2:
            raise ValueError(f"class {c} has one image, and no pairs")
        rng = np.random.default_rng([seed, c])
        first = rng.integers(len(own), size=pairs)
        second = (first + rng.integers(1, len(own), size=pairs)) % len(own)
        similar[c] = float(ms_ssim(images[own[first]], images[own[second]]).mean(dtype=np.float64))
    return similar
