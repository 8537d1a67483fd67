"""Which layers' styles hold what of an image: those of another are put in their place (Karras et al. 2019,
section 3.1 and figure 3), and what changes is read from drawings of `data.shapes`, exactly."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxgan.data import shapes

COARSE = 3  # layers of StyleGAN2 up to 8x8: one of 4x4 and two of 8x8


class Change(NamedTuple):
    """How much a swap changed, in the mean over images, f32[]."""

    kind: jnp.ndarray  # the share of images whose shape is of another kind
    colour: jnp.ndarray  # or of another colour
    position: jnp.ndarray  # the distance of its centre, in half-widths of the image


def change(before, after) -> Change:
    """What differs between drawings f32[B, S, S, 3] in [0, 1] of one shape each."""
    a, b = shapes.read(before), shapes.read(after)
    apart = jnp.linalg.norm(a.centre - b.centre, axis=-1)
    return Change((a.kind != b.kind).mean(), (a.colour != b.colour).mean(), apart.mean())


def style_swap(synthesise: Callable, w, other, coarse: int = COARSE) -> dict[str, Change]:
    """What changes where images take the first layers' styles of others, {"coarse": ...}, where they take all
    but these, {"fine": ...}; and {"all": ...} where they become the others.

    Args:
      synthesise: styles [B, layers, styles] -> images f32[B, S, S, 3] in [-1, 1], of drawings; jit it.
      w, other: styles of the images and of those that they take from.
      coarse: how many layers are the first.

    Raises:
      ValueError: if the styles differ in shape, or there are not more layers.
    """
    if w.shape != other.shape or w.ndim != 3 or not 0 < coarse < w.shape[1]:
        raise ValueError(
            f"style_swap takes w and other [B, layers, styles] of more than {coarse} layers, not {w.shape} "
            f"and {other.shape}"
        )
    first = jnp.arange(w.shape[1])[None, :, None] < coarse
    level = lambda w: jnp.clip((synthesise(w) + 1) / 2, 0, 1)  # noqa: E731
    own = level(w)
    swapped = {"coarse": jnp.where(first, other, w), "fine": jnp.where(first, w, other), "all": other}
    return {name: change(own, level(each)) for name, each in swapped.items()}
