"""A data set that lives on the device, and is gathered from inside the scan."""

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


def batches(data: dict, state, slot, *, batch_size: int, n_critic: int = 1) -> dict:
    """The real batches of the state's step, [n_critic, B, ...].

    Args:
      data: arrays [N, ...]; those of uint8 are scaled from [0, 255] to [-1, 1].
      slot: i32[B], this device's share of the global batch's slots.
    """
    draws = state.step * n_critic + jnp.arange(n_critic)
    return jax.vmap(lambda d: _draw(data, state.key, d, slot, batch_size))(draws)


def scheduled(data: dict, state, slot, *, batch_size: int, schedule: Callable):
    """The real batches of a step whose number of discriminator updates depends on the step.

    Args:
      data, slot: as of `batches`.
      schedule: step -> (the step's number of batches, that of all steps before it), i32[] both.

    Returns:
      The step's number of batches, and turn -> the turn's batch [B, ...], gathered when it is called.
    """
    n_critic, before = schedule(state.step)
    return n_critic, lambda turn: _draw(data, state.key, before + turn, slot, batch_size)


def _draw(data: dict, key, draw, slot, batch_size: int) -> dict:
    """The draw-th batch, [B, ...]."""
    n = jax.tree.leaves(data)[0].shape[0]
    index = rows(key, draw, slot, n=n, batch_size=batch_size)

    def gather(x):
        x = x[index]
        return x.astype(jnp.float32) / 127.5 - 1 if x.dtype == jnp.uint8 else x

    batch = {name: gather(x) for name, x in data.items()}
    return {**batch, "slot": slot}
