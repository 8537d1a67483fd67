"""How near images are to those that they should be: pure functions of pairs uint8[N, H, W, C].

All but the last give a figure for each pair, f64[N]; levels count as [0, 1].
"""

import numpy as np

from jaxgan.metrics.ms_ssim import ms_ssim

SURE = 1e-10  # a mean square from which on a PSNR grows no more: 100 dB


def _apart(a, b) -> np.ndarray:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 4 or a.dtype != np.uint8 or b.dtype != np.uint8:
        told = f"{a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
        raise ValueError(f"images must be pairs uint8[N, H, W, C], not {told}")
    return (a.astype(np.float32) - b.astype(np.float32)) / 255


def l1(a, b) -> np.ndarray:
    """The mean absolute difference of levels."""
    return np.abs(_apart(a, b)).mean((1, 2, 3), dtype=np.float64)


def psnr(a, b, within=None) -> np.ndarray:
    """The peak signal-to-noise ratio in dB, of all channels together, at most 100.

    Args:
      within: bool[N, H, W, 1], where to look; everywhere if not given. NaN where there is nothing to look at.
    """
    square = np.square(_apart(a, b))
    if within is None:
        mean = square.mean((1, 2, 3), dtype=np.float64)
    else:
        within = np.broadcast_to(within, square.shape)
        n = within.sum((1, 2, 3))
        mean = np.where(n > 0, (square * within).sum((1, 2, 3), dtype=np.float64) / np.maximum(n, 1), np.nan)
    return -10 * np.log10(np.maximum(mean, SURE))


def ssim(a, b) -> np.ndarray:
    """The structural similarity (Wang et al. 2004), from 0 to 1: `ms_ssim` of one scale."""
    _apart(a, b)
    return ms_ssim(a, b, scales=1).astype(np.float64)


def detail(images) -> np.ndarray:
    """The energy of high frequencies: the mean square of what a Gaussian of deviation 1 pixel takes away."""
    from scipy.ndimage import gaussian_filter1d

    x = np.asarray(images).astype(np.float32) / 255
    smooth = gaussian_filter1d(gaussian_filter1d(x, 1.0, axis=1), 1.0, axis=2)
    return np.square(x - smooth).mean((1, 2, 3), dtype=np.float64)


def detail_ratio(fake, real) -> float:
    """The energy of high frequencies of all images over that of the real ones; 1 where as much is there."""
    return float(detail(fake).mean() / max(detail(real).mean(), SURE))
