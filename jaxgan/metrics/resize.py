"""How an image is made as large as the Inception network takes it: a part of every score's protocol."""

import jax.numpy as jnp
import numpy as np

SIZE = 299  # of the images that the network sees


def _linear(source, n):
    """Interpolation between n pixels at the coordinates `source` [M], as a matrix [M, n]."""
    return np.maximum(0, 1 - np.abs(source.clip(0, n - 1)[:, None] - np.arange(n)[None]))


def _cubic(n):
    """Pillow's antialiased bicubic filter (a = -1/2) from n pixels, as a matrix [SIZE, n]."""
    scale = n / SIZE
    centre = (np.arange(SIZE) + 0.5) * scale - 0.5
    x = np.abs(np.arange(n)[None] - centre[:, None]) / max(scale, 1)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(1, keepdims=True)


RESIZES = {
    "legacy": lambda n: _linear((np.arange(SIZE) + 0.5) * (n / SIZE) - 0.5, n),
    "tensorflow": lambda n: _linear(np.arange(SIZE) * (n / SIZE), n),
    "clean": _cubic,
}


def resized(images, how: str = "legacy"):
    """Images [N, H, W, C] of any size -> f32[N, 299, 299, C] in the same units, not clipped.

    Args:
      how: one of `RESIZES`. `legacy` is pytorch-fid's: bilinear, with output pixel i at
        (i + 1/2) H / 299 - 1/2 of the input (PyTorch's `interpolate` with align_corners=False).
        `tensorflow` is the original graph's: bilinear, with output pixel i at i H / 299. Neither is
        antialiased, so that shrinking skips pixels. `clean` is clean-fid's (Parmar et al. 2022):
        Pillow's antialiased bicubic, on floats.
    """
    rows, columns = (jnp.asarray(RESIZES[how](n), jnp.float32) for n in images.shape[1:3])
    x = images.astype(jnp.float32)
    return jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision="highest")


def scaled(images, how: str = "legacy"):
    """What the network sees of pixels in [0, 255], for a resizing `how` of `RESIZES`.

    x / 127.5 - 1 for `legacy`; (x - 128) / 128 for the others, as the original graph and clean-fid have it.
    """
    return images / 127.5 - 1 if how == "legacy" else (images - 128) / 128
