"""Augmentations of what D sees, real and generated alike, that G's gradient goes through.

Where data are few, D learns them by heart. Where all that it sees is augmented, in both steps and in its
penalties, it does not; and G makes images as they are, if their distribution can be told from augmented
ones' (Zhao et al. 2020; Karras et al. 2020). Each function is one of a key, of images
float[B, H, W, C] in [-1, 1] and of their slots: an example's draws are its slot's, on any number of devices.
"""

import jax.numpy as jnp
from jax import lax, vmap

from jaxgan import random
from jaxgan.config import InputError
from jaxgan.random import fold, kind_of

SHIFT = 1 / 8  # of the side: how far an image is moved at most
CUT = 1 / 2  # of the side: the square that is cut out


def _images(x):
    if getattr(x, "ndim", 0) != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"images to augment are floats [B, H, W, C], not {kind_of(x)}")
    return x


def _some(key, slot, p):
    """Which examples are augmented, bool[B, 1, 1, 1]: each with the probability p."""
    return random.uniform(fold(key, "whether"), slot, (1, 1, 1)) < p


def colour(key, images, slot, p=1.0):
    """Brightness moved by U(-0.5, 0.5), saturation times U(0, 2), contrast times U(0.5, 1.5).

    Saturation is about each pixel's mean of channels, contrast about the image's mean. Grey images have no
    saturation. Levels may leave [-1, 1].
    """
    x = _images(images)
    drawn = random.uniform(fold(key, "colour"), slot, (3, 1, 1, 1))
    light, saturation, contrast = (drawn[:, i].astype(x.dtype) for i in range(3))
    made = x + light - 0.5
    grey = made.mean(3, keepdims=True)
    made = grey + 2 * saturation * (made - grey)
    mean = made.mean((1, 2, 3), keepdims=True)
    made = mean + (0.5 + contrast) * (made - mean)
    return jnp.where(_some(key, slot, p), made, x)


def _moved(x, shift):
    """An image [H, W, C] moved down and right by whole pixels, with zeros where it was not."""
    h, w, _ = x.shape
    padded = jnp.pad(x, ((h, h), (w, w), (0, 0)))
    return lax.dynamic_slice(padded, (h - shift[0], w - shift[1], 0), x.shape)


def translation(key, images, slot, p=1.0):
    """Moved by whole pixels, up to an eighth of the side each way; zeros come in."""
    x = _images(images)
    most = [int(side * SHIFT + 0.5) for side in x.shape[1:3]]
    key = fold(key, "translation")
    shift = jnp.stack([random.integers(fold(key, i), slot, 2 * n + 1) - n for i, n in enumerate(most)], 1)
    return jnp.where(_some(key, slot, p), vmap(_moved)(x, shift), x)


def cutout(key, images, slot, p=1.0):
    """A square of half the side set to 0; its centre is anywhere, so that it may hang over the edge."""
    x = _images(images)
    key, inside = fold(key, "cutout"), True
    for axis, side in enumerate(x.shape[1:3]):
        size = int(side * CUT + 0.5)
        centre = random.integers(fold(key, axis), slot, side + 1 - size % 2)
        place = jnp.arange(side)[None] - (centre - size // 2)[:, None]  # [B, side]
        shape = (len(x), side, 1, 1) if axis == 0 else (len(x), 1, side, 1)
        inside = inside & ((place >= 0) & (place < size)).reshape(shape)
    return jnp.where(_some(key, slot, p) & inside, jnp.zeros((), x.dtype), x)


def diff_augment(key, images, slot, p=1.0):
    """`colour`, `translation` and `cutout`, each with the probability p: DiffAugment (Zhao et al. 2020, where
    p is 1).

    Args:
      key: one key.
      images: float[B, H, W, C].
      slot: i32[B].
      p: in [0, 1]; at 0 images are as they are.

    Returns:
      float[B, H, W, C], which has a derivative in the images.

    Raises:
      InputError: if they are no images.
    """
    for one in (colour, translation, cutout):
        images = one(key, images, slot, p)
    return images
