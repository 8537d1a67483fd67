"""Data that live on the device, and are gathered from inside the scan."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan.random import fold, permute


def rows(key, draw, slot, *, n: int, batch_size: int):
    """Which of n examples stand at `slot` i32[B] of the draw-th batch, i32[B].

    Position `draw * batch_size + slot` of an endless row of permutations of range(n), one an epoch:
    each example is seen once an epoch, and a batch may span the end of one. A function of
    (key, draw), for any draw below 2^31.

    Raises:
      ValueError: if n * batch_size is 2^32 or more, where positions would wrap around.
    """
    if n * batch_size >= 2**32:
        raise ValueError(f"{n} examples times a batch of {batch_size} exceed 2^32; use a smaller batch")
    slot, draw = jnp.asarray(slot, jnp.uint32), jnp.asarray(draw, jnp.uint32)
    position = (draw % n) * batch_size + slot
    epoch = (draw // n) * batch_size + position // n
    keys = jax.vmap(lambda e: fold(key, "epoch", e))(epoch)
    return permute(keys, position % n, n)


def scaled(x):
    """Levels of uint8 in [0, 255] as numbers in [-1, 1], labels among them as integers; all else as it is."""
    if x.dtype != jnp.uint8:
        return x
    return x.astype(jnp.float32) / 127.5 - 1 if x.ndim > 1 else x.astype(jnp.int32)


def draw(arrays: dict, key, draw, slot, *, batch_size: int) -> dict:
    """The draw-th batch [len(slot), ...] of arrays [N, ...]: `rows` of each, `scaled`, and `slot`.

    An entry that is a dict is a group of arrays [M, ...], which has a permutation of its own by its name.
    """
    batch = {"slot": slot}
    alone = {name: x for name, x in arrays.items() if not isinstance(x, dict)}
    for name, group in arrays.items():
        if isinstance(group, dict):
            batch[name] = _rows_of(group, fold(key, name), draw, slot, batch_size)
    return _rows_of(alone, key, draw, slot, batch_size) | batch


def _rows_of(arrays: dict, key, draw, slot, batch_size: int) -> dict:
    """The rows of arrays that share their first axis."""
    if not arrays:
        return {}
    n = jax.tree.leaves(arrays)[0].shape[0]
    index = rows(key, draw, slot, n=n, batch_size=batch_size)
    return {name: scaled(x[index]) for name, x in arrays.items()}


def batches(draw: Callable, state, *, n_critic: int = 1) -> dict:
    """The real batches of the state's step, [n_critic, B, ...].

    Args:
      draw: (key, i) -> the i-th batch of the run.
    """
    draws = state.step * n_critic + jnp.arange(n_critic)
    return jax.vmap(lambda i: draw(state.key, i))(draws)


def scheduled(draw: Callable, state, *, schedule: Callable):
    """The real batches of a step whose number of discriminator updates depends on the step.

    Args:
      draw: as of `batches`.
      schedule: step -> (the step's number of batches, that of all steps before it), i32[] both.

    Returns:
      The step's number of batches, and turn -> the turn's batch [B, ...], drawn when it is called.
    """
    n_critic, before = schedule(state.step)
    return n_critic, lambda turn: draw(state.key, before + turn)
