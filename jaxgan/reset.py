"""An optimiser that starts afresh where a training's phase changes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class ResetState(NamedTuple):
    """What `reset_at` keeps."""

    count: jax.Array  # i32[], updates made
    inner: Any  # the state of the optimiser that is reset


def reset_at(tx: optax.GradientTransformation, phase: Callable) -> optax.GradientTransformationExtraArgs:
    """tx, whose state is made anew for the first update of each phase: moments and counts, and so the place
    in a schedule.

    Args:
      phase: updates made so far, i32[] -> i32[], another number in each phase.
    """
    tx = optax.with_extra_args_support(tx)

    def init(params):
        return ResetState(jnp.zeros((), jnp.int32), tx.init(params))

    def update(updates, state, params=None, **extra):
        if params is None:
            raise ValueError("reset_at: update is called with the parameters, of which a fresh state is made")
        changed = phase(state.count) != phase(jnp.maximum(state.count - 1, 0))
        inner = jax.tree.map(lambda new, old: jnp.where(changed, new, old), tx.init(params), state.inner)
        updates, inner = tx.update(updates, inner, params, **extra)
        return updates, ResetState(optax.safe_increment(state.count), inner)

    return optax.GradientTransformationExtraArgs(init, update)
