"""Arithmetic of more bits than a network's own."""

import jax.numpy as jnp


def wide(x):
    """x in float32, or wider: sums, squares and logits leave half-precision's range."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
