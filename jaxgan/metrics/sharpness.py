"""How sharp images are, by the edges in them (Tolstikhin et al. 2018, section 4)."""

import numpy as np

GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601
BLOCK = 1024  # images at a time


def laplacian_variance(images) -> np.ndarray:
    """The variance of Laplace's filter, four neighbours less four times the pixel, over the inner pixels of
    each image in grey: f64[N], levels counted as [0, 1]. The blurrier an image, the nearer to 0.

    Args:
      images: uint8[N, H, W, C], C 1 or 3.

    Raises:
      ValueError: if they are no such images, or have no inner pixels.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"images are uint8[N, H, W, 1 or 3], not {images.dtype}{list(images.shape)}")
    if min(images.shape[1:3]) < 3:
        raise ValueError(f"images of {images.shape[1]}x{images.shape[2]} have no inner pixels")

    def of(x):
        x = (x[..., 0] if x.shape[3] == 1 else x @ GREY) / 255
        around = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
        return (around - 4 * x[:, 1:-1, 1:-1]).var((1, 2))

    return np.concatenate([of(images[i : i + BLOCK]) for i in range(0, len(images), BLOCK)])
