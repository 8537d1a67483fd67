"""Sets of drawings of `data.shapes`, by their specification `shapes` or `shapes:N`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.config import InputError

MANY = 10_000  # if nothing is said
BATCH = 1000


def counted(spec: str, least: int = 1) -> int:
    """How many drawings are asked for.

    Raises:
      InputError: if it is no number, or less than the least.
    """
    _, colon, text = spec.partition(":")
    if colon and not (text.isdecimal() and int(text) >= least):
        raise InputError(f"--data {spec}: shapes, or shapes:N of them, {least} or more")
    return int(text) if colon else MANY


def drawn(draw: Callable, n: int) -> tuple[np.ndarray, ...]:
    """What a function of slots i32[B] gives of the first n, arrays [n, ...]; of [0, 1] levels, uint8."""

    @jax.jit
    def some(slot):
        real = lambda x: jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731
        return jax.tree.map(lambda x: jnp.round(x * 255).astype(jnp.uint8) if real(x) else x, draw(slot))

    size = min(n, BATCH)
    parts = [some(jnp.arange(first, first + size)) for first in range(0, n, size)]
    return tuple(np.concatenate(x)[:n] for x in zip(*jax.device_get(parts), strict=True))
