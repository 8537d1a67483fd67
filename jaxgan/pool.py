"""Generated images of the past, which a discriminator is shown beside the newest (Shrivastava et al. 2017).

As in the code of CycleGAN (Zhu et al. 2017, section 4): until the pool is full each image is stored and
shown; from then on each is, with probability one half, stored in the place of an old one at random, which is
shown instead. The pool is a part of the state, and the same on every device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import random


class Pool(NamedTuple):
    """Images of the past."""

    image: jax.Array  # u8[size, H, W, C], levels of [-1, 1]: rounded as the data are
    n: jax.Array  # i32[], how many there are


def empty(shape: tuple[int, ...], size: int = 50) -> Pool:
    """A pool for so many images of a shape [H, W, C]."""
    return Pool(jnp.zeros((size, *shape), jnp.uint8), jnp.zeros((), jnp.int32))


def exchanged(pool: Pool, key, slot, fake, *, axis: str | None = None):
    """What is shown in the place of images, one after another by their slots.

    Args:
      slot: i32[B], the images' places in the global batch.
      fake: f32[B, H, W, C] in [-1, 1].
      axis: the name of the device axis, if these are one shard of several.

    Returns:
      The pool, the same on each device, and what is shown, f32[B, H, W, C].
    """
    every, places = fake, slot
    if axis is not None:
        every, places = (lax.all_gather(x, axis, tiled=True) for x in (fake, slot))
    size = pool.image.shape[0]
    levels = jnp.clip(jnp.round((every + 1) * 127.5), 0, 255).astype(jnp.uint8)
    old, where = (
        random.uniform(random.fold(key, "old"), places),
        random.integers(random.fold(key, "place"), places, size),
    )

    def one(pool, given):
        new, exact, old, where = given
        filling = pool.n < size
        swapped = ~filling & (old < 0.5)
        at = jnp.where(filling, pool.n, where)
        shown = jnp.where(swapped, pool.image[at].astype(exact.dtype) / 127.5 - 1, exact)
        kept = jnp.where(filling | swapped, new, pool.image[at])
        return Pool(pool.image.at[at].set(kept), jnp.minimum(pool.n + 1, size)), shown

    pool, shown = lax.scan(one, pool, (levels, every, old, where))
    if axis is None:
        return pool, shown
    return pool, lax.dynamic_slice_in_dim(shown, lax.axis_index(axis) * len(fake), len(fake))
