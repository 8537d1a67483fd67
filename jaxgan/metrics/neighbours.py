"""Nearest training images: is a sample new, or a memory?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.data import store

BATCH = 64  # of images that are looked at together
AT_A_TIME = 64 * 2**20  # bytes of the reference


@partial(jax.jit, static_argnames="block")
def _nearest(images, reference, block):
    flat = reference.reshape(-1, block, images.shape[1])

    def one(best, item):
        start, part = item
        part = part.astype(jnp.float32)
        squares = (images**2).sum(1)[:, None] + (part**2).sum(1)[None] - 2 * images @ part.T
        index = squares.argmin(1).astype(jnp.int32)  # also where integers are wide
        value = jnp.take_along_axis(squares, index[:, None], 1)[:, 0]
        closer = value < best[0]
        return (jnp.where(closer, value, best[0]), jnp.where(closer, start + index, best[1])), None

    first = (jnp.full(len(images), jnp.inf), jnp.zeros(len(images), jnp.int32))
    starts = jnp.arange(0, reference.shape[0], block, dtype=jnp.int32)
    return lax.scan(one, first, (starts, flat))[0]


def nearest(images, reference, *, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of reference uint8[N, ...] to each of images uint8[B, ...], by Euclidean distance.

    Returns:
      Its index i32[B], and the distance f32[B] between them in units of [0, 1] intensity.
    """
    query = np.reshape(images, (len(images), -1)).astype(np.float32)
    padded = np.pad(query, [(0, -len(query) % BATCH), (0, 0)])  # one shape, one compile
    parts = padded.reshape(-1, BATCH, padded.shape[1])
    best, index = np.full(len(padded), np.inf, np.float32), np.zeros(len(padded), np.int32)
    each = max(1, AT_A_TIME // (query.shape[1] * block)) * block
    for start in range(0, len(reference), each):
        flat = np.reshape(reference[start : start + each], (-1, query.shape[1]))
        if missing := -len(flat) % block:
            flat = np.concatenate([flat, np.repeat(flat[:1], missing, 0)])  # ties go to the first
        of = jax.device_put(flat)
        found = jax.device_get([_nearest(part, of, block) for part in parts])
        value, where = (np.concatenate(x) for x in zip(*found, strict=True))
        closer = value < best
        best, index = np.where(closer, value, best), np.where(closer, start + where, index)
    index = index[: len(query)].astype(np.int32)
    # From differences: the expanded squares cancel where a sample equals its neighbour.
    gap = query - np.reshape(reference[index], (len(query), -1))
    return index, np.sqrt((gap**2).sum(1)) / 255


def yardstick(real, *, held_out: int = 500) -> tuple[np.ndarray, float] | None:
    """Some real images, and the median distance to them of others that are held out.

    Args:
      real: uint8[N, ...]; `held_out` of them, at most a third, are set apart: most copies are of the others.

    Returns:
      uint8[N - held_out, ...] and the distance, as `nearest` measures it; None if more than half of the
      held-out have a duplicate among the others.
    """
    held_out = min(held_out, max(1, len(real) // 3))
    order = np.random.default_rng(0).permutation(len(real))
    held, others = real[order[:held_out]], store.take(real, order[held_out:], "real images")
    apart = float(np.median(nearest(held, others)[1]))
    return (others, apart) if apart > 0 else None


def memorisation(distances, apart: float) -> float:
    """The median distance of fakes to real images, over that of held-out real ones.

    About 1 for a sampler of the data's distribution, 0 for one that copies.

    Args:
      distances: f32[N], as `nearest` measures those of fakes to the images of a `yardstick`.
      apart: the yardstick's own distance.
    """
    return float(np.median(distances) / apart)
