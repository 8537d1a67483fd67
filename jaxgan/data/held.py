"""Where a set's arrays are while a run trains on it: which examples a batch has does not depend on it.

copy    all of it on each device, gathered from inside the scan
shard   each device has an equal part of it; in a step each gives what the others' batches want of its own
stream  all of it on the host, in memory or in a file; each chunk of steps is given the rows that it draws
"""

from collections.abc import Mapping
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.data import store
from jaxgan.data.resident import rows, scaled
from jaxgan.random import fold

HOLDS = ("copy", "shard", "stream")


def _length(arrays: Mapping) -> int:
    return len(next(iter(arrays.values())))


def lengths(arrays: Mapping) -> dict[str, int]:
    """The number of examples of each group, by its name; those of no group are of ''."""
    alone = {k: x for k, x in arrays.items() if not isinstance(x, Mapping)}
    groups = {k: _length(x) for k, x in arrays.items() if isinstance(x, Mapping)}
    return ({"": _length(alone)} if alone else {}) | groups


def _each(arrays: Mapping, f) -> dict:
    """f(name of the group, its arrays), each group in its place."""
    alone = {k: x for k, x in arrays.items() if not isinstance(x, Mapping)}
    made = f("", alone) if alone else {}
    return made | {k: f(k, x) for k, x in arrays.items() if isinstance(x, Mapping)}


def _index(key, group: str, draw, slot, *, n: int, batch_size: int):
    """Which of a group's examples stand at `slot` of the draw-th batch: as `resident.draw` has it."""
    return rows(fold(key, group) if group else key, draw, slot, n=n, batch_size=batch_size)


# shard


def shards(arrays: Mapping, parts: int, own: range) -> dict:
    """The parts `own` of `parts` that arrays [N, ...] are cut into, [len(own), ceil(N / parts), ...]; zeros
    fill the last."""

    def cut(x):
        per = -(-len(x) // parts)
        made = np.zeros((len(own), per, *x.shape[1:]), x.dtype)
        for place, part in zip(made, own, strict=True):
            piece = x[part * per : (part + 1) * per]
            place[: len(piece)] = piece
        return made

    return jax.tree.map(cut, dict(arrays))


def draw_shards(arrays: dict, key, draw, slot, *, batch_size: int, of: dict[str, int], axis: str) -> dict:
    """This device's share of the draw-th batch, of which every device holds a part of the examples.

    Args:
      arrays: this device's part [M, ...] of `shards`.
      of: `lengths` of the whole.
      axis: the name of the device axis.
    """
    everyone = lax.all_gather(slot, axis, tiled=True)

    def group(name, own):
        index = _index(key, name, draw, everyone, n=of[name], batch_size=batch_size)
        here = index - lax.axis_index(axis) * _length(own)

        def exchanged(x):
            there = ((here >= 0) & (here < len(x))).reshape(-1, *(1,) * (x.ndim - 1))
            mine = jnp.where(there, x[jnp.clip(here, 0, len(x) - 1)], jnp.zeros((), x.dtype))
            as_numbers = mine.astype(jnp.uint8) if mine.dtype == jnp.bool_ else mine
            return lax.psum_scatter(as_numbers, axis, tiled=True).astype(x.dtype)  # all but one are zero

        return {k: scaled(exchanged(x)) for k, x in own.items()}

    return _each(arrays, group) | {"slot": slot}


# stream


@lru_cache
def _rows_on_host(group: str, n: int, batch_size: int):
    """(key, first, count, slot) -> the rows of so many batches from the first on, i32[count, len(slot)]."""

    @partial(jax.jit, static_argnums=2)
    def found(key, first, count, slot):
        index = lambda i: _index(key, group, i, slot, n=n, batch_size=batch_size)  # noqa: E731
        return jax.vmap(index)(first + jnp.arange(count, dtype=jnp.int32))

    return found


def window(arrays: Mapping, key, first: int, count: int, slot: np.ndarray, *, batch_size: int) -> dict:
    """The examples of `count` batches from the first-th on, read on the host.

    Args:
      slot: i32[devices, b], the places in a batch of each device's share.

    Returns:
      `first` i32[devices] and `rows`, arrays [devices, count, b, ...] as the set holds them.
    """

    def group(name, own):
        n = _length(own)
        places = jnp.asarray(slot.reshape(-1))
        index = np.asarray(_rows_on_host(name, n, batch_size)(key, first, count, places))
        index = index.reshape(count, *slot.shape).swapaxes(0, 1)  # the devices' axis first
        for x in own.values():
            store.ahead(x, index)
        return {k: np.take(x, index, 0) for k, x in own.items()}

    return {"first": np.full(len(slot), first, np.int32), "rows": _each(arrays, group)}


def draw_window(window: dict, draw, slot) -> dict:
    """The draw-th batch of a window of one device, `first` i32[] and `rows` [count, b, ...]."""
    batch = jax.tree.map(lambda x: scaled(x[draw - window["first"]]), window["rows"])
    return batch | {"slot": slot}
