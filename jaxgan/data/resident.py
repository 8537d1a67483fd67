"""A data set that lives on the device, and is gathered from inside the scan."""

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
    n = jax.tree.leaves(data)[0].shape[0]
    draws = state.step * n_critic + jnp.arange(n_critic)
    index = jax.vmap(lambda d: rows(state.key, d, slot, n=n, batch_size=batch_size))(draws)

    def gather(x):
        x = x[index]
        return x.astype(jnp.float32) / 127.5 - 1 if x.dtype == jnp.uint8 else x

    batch = {name: gather(x) for name, x in data.items()}
    return {**batch, "slot": jnp.broadcast_to(slot, index.shape)}
