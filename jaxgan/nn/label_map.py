"""Label maps: which of so many things each pixel is of."""

import jax
import jax.numpy as jnp


def codes(image, labels: int):
    """A label map as one-hot codes, f32[B, H, W, labels], or with boundaries labels + 1.

    Args:
      image: f32[B, H, W, 1 or 2] as a batch has uint8 levels, in [-1, 1]: each pixel's label, and as a second
        channel, if there is one, 1 where two things meet and -1 elsewhere.

    Raises:
      ValueError: if it has other channels.
    """
    if image.shape[-1] not in (1, 2):
        raise ValueError(
            f"a label map has one number a pixel, and maybe boundaries beside; not {image.shape[-1]} channels"
        )
    number = jnp.round((image[..., 0] + 1) * 127.5).astype(jnp.int32)
    of = jax.nn.one_hot(number, labels)
    return of if image.shape[-1] == 1 else jnp.concatenate([of, (image[..., 1:] + 1) / 2], -1)


def resized(codes, side: tuple[int, int]):
    """Codes [B, H, W, C] at a size of which H and W are multiples: the first of each square, as
    PyTorch's nearest neighbour has it."""
    (h, w), (rows, columns) = codes.shape[1:3], side
    if h % rows or w % columns:
        raise ValueError(f"a label map of {w}x{h} is no multiple of {columns}x{rows}")
    return codes[:, :: h // rows, :: w // columns]
