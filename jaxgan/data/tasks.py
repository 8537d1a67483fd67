"""Tasks: what a generator is given, made from the image that it is to answer with.

Each is a pure function of (image f32[H, W, C] in [0, 1], key) -> what is given, f32[h, w, c] in [0, 1].
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxgan.config import InputError, nearest

EDGE = 0.25  # of the steepest slope that an image of [0, 1] can have, from which a pixel is of an edge
BATCH = 1000


def grey(image, key=None):
    """The lightness, f32[H, W, 1]: the channels by the weights of ITU-R BT.601."""
    weights = jnp.asarray([0.299, 0.587, 0.114]) if image.shape[-1] == 3 else jnp.ones(1)
    return (image @ weights)[..., None]


def edges(image, key=None):
    """Where the lightness is steep, f32[H, W, 1]: 1 from a quarter of the steepest slope on that can be,
    by central differences, and 0 elsewhere; beyond the border of the image it goes on as it is there."""
    light = jnp.pad(grey(image)[..., 0], 1, mode="edge")
    down, right = light[2:, 1:-1] - light[:-2, 1:-1], light[1:-1, 2:] - light[1:-1, :-2]
    return (jnp.hypot(down, right) >= EDGE).astype(jnp.float32)[..., None]


def low(image, key=None, *, factor: int = 4):
    """The image at a fraction of its size, f32[H / factor, W / factor, C]: means of squares of pixels."""
    h, w, c = image.shape
    if h % factor or w % factor:
        raise InputError(f"--task low:{factor}: images of {w}x{h} are not cut into squares of {factor}")
    return image.reshape(h // factor, factor, w // factor, factor, c).mean((1, 3))


def hole(image, key, *, side: int = 12, anywhere: bool = False):
    """The image with a square of mid grey in its middle, or anywhere in it, and a last channel that is 1
    there, f32[H, W, C + 1] (Pathak et al. 2016)."""
    h, w, c = image.shape
    if side > min(h, w):
        raise InputError(f"--task hole:{side}: the hole lies outside images of {w}x{h}")
    if anywhere:
        top, left = (
            jax.random.randint(k, (), 0, n - side + 1)
            for k, n in zip(jax.random.split(key), (h, w), strict=True)
        )
    else:
        top, left = (h - side) // 2, (w - side) // 2
    y, x = jnp.arange(h)[:, None], jnp.arange(w)[None]
    inside = ((y >= top) & (y < top + side) & (x >= left) & (x < left + side))[..., None]
    return jnp.concatenate([jnp.where(inside, 0.5, image), inside.astype(image.dtype)], -1)


def background(subject, alpha, behind):
    """A cut-out to be given a background, and one that it may have had: f32[H, W, C + 1], its pixels where it
    covers more than half of them, mid grey elsewhere and a last channel that is 1 there; and the composite,
    f32[H, W, C].

    Args:
      subject, behind: images f32[H, W, C].
      alpha: how much of each pixel the subject covers, f32[H, W, 1] in [0, 1].
    """
    composite = alpha * subject + (1 - alpha) * behind
    elsewhere = alpha < 0.5
    given = jnp.concatenate([jnp.where(elsewhere, 0.5, composite), elsewhere.astype(alpha.dtype)], -1)
    return given, composite


TASKS = "edges", "grey", "low:FACTOR", "hole:SIDE", "hole:SIDE,anywhere"  # of any images


def named(spec: str) -> Callable:
    """The task of a name such as edges, grey, low:4, hole:12 or hole:12,anywhere.

    Raises:
      InputError: if there is none.
    """
    name, _, text = spec.partition(":")
    number, _, rest = text.partition(",")
    if name in ("edges", "grey") and not text:
        return {"edges": edges, "grey": grey}[name]
    try:
        if name == "low" and not rest and int(number or 4) > 1:
            return partial(low, factor=int(number or 4))
        if name == "hole" and rest in ("", "anywhere") and int(number or 12) > 0:
            return partial(hole, side=int(number or 12), anywhere=bool(rest))
    except ValueError:
        pass
    raise InputError(f"--task {spec!r} is not one of {', '.join(TASKS)}{nearest(name, TASKS)}")


def given(task: Callable, image: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a task gives of each image uint8[N, H, W, C], uint8[N, h, w, c]; of example i by the seed's key
    folded with i."""
    key = jax.random.key(seed)

    @jax.jit
    def some(image, index):
        made = jax.vmap(lambda x, i: task(x / 255, jax.random.fold_in(key, i)))(image, index)
        return jnp.round(made * 255).astype(jnp.uint8)

    parts = []
    for first in tqdm(range(0, len(image), BATCH), "tasks", unit="batch", leave=False, delay=1, disable=None):
        index = np.minimum(np.arange(first, first + min(BATCH, len(image))), len(image) - 1)
        parts.append(np.asarray(some(image[index], index)))
    return np.concatenate(parts)[: len(image)]
