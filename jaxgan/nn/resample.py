"""Filtering of images by a low-pass filter, alone or while their size is doubled or halved (StyleGAN; Karras
et al. 2019, section 3; Zhang 2019).

The filter is a product of one along each axis, and all is sums of shifted images: as fast on a CPU as on
others, inside a scan and in derivatives of any order. Beyond its edges an image is 0, as in the authors'
code.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

FILTER = (1.0, 3.0, 3.0, 1.0)  # StyleGAN2's; StyleGAN's is (1, 2, 1)

Edges = tuple[int, int]


def _along(x, axis: int, taps, edges: Edges, up: int, down: int):
    """`fir` along one axis."""
    low, high = edges
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (low, high + up - 1, up - 1)
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    n = (x.shape[axis] - len(taps)) // down + 1
    if n < 1:
        raise ValueError(
            f"fir: nothing is left of an image of {x.shape[axis]} with its edges by {len(taps)} taps"
        )
    parts = (lax.slice_in_dim(x, i, i + (n - 1) * down + 1, down, axis) for i in range(len(taps)))
    return sum(tap * part for tap, part in zip(taps, parts, strict=True))


def fir(x, edges: Edges, *, taps: Sequence[float] = FILTER, up: int = 1, down: int = 1):
    """Images [B, H, W, C] with zeros put between their pixels, widened by zeros, filtered and thinned out.

    The taps are divided by their sum over `up`, so that a constant image keeps its value inside. Neither
    image nor taps are turned around: tap i is the weight of the pixel i after the first.

    Args:
      edges: by how many zeros it is widened before and after, along both axes; below 0 it is cut.
      up: of so many pixels one is the image's.
      down: of so many filtered pixels one is kept.

    Raises:
      ValueError: if nothing is left.
    """
    scale = up / math.fsum(taps)
    taps = [scale * tap for tap in taps]
    for axis in (1, 2):
        x = _along(x, axis, taps, edges, up, down)
    return x


def double(x, taps: Sequence[float] = FILTER):
    """Images [B, H, W, C] -> [B, 2 H, 2 W, C]."""
    n = len(taps)
    return fir(x, ((n + 1) // 2, (n - 2) // 2), taps=taps, up=2)


def halve(x, taps: Sequence[float] = FILTER):
    """Images [B, H, W, C] of even H and W -> [B, H / 2, W / 2, C]; of an even number of taps that read the
    same backwards it is the transpose of `double`, over 4."""
    n = len(taps)
    return fir(x, ((n - 1) // 2, (n - 2) // 2), taps=taps, down=2)
