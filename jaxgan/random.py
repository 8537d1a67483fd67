"""Random numbers that depend on neither the number of devices nor the size of a microbatch.

Nothing is ever advanced: a number is a function of the run's key, the step, a name, and, where it is
drawn for an example, that example's slot in the global batch. So any step can be replayed.
"""

import math
import zlib

import jax
import jax.numpy as jnp
from jax import lax


def fold(key, *data):
    """The key folded with each datum in turn: an integer (traced or not) or a name."""
    for datum in data:
        if isinstance(datum, str):
            datum = zlib.crc32(datum.encode())
        key = jax.random.fold_in(key, datum)
    return key


def _per_example(draw, key, slot):
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(slot)


def normal(key, slot, shape=()):
    """Standard normal numbers [B, *shape]; example i draws from `fold_in(key, slot[i])`."""
    return _per_example(lambda k: jax.random.normal(k, shape), key, slot)


def uniform(key, slot, shape=(), *, minval=0.0, maxval=1.0):
    """Uniform numbers in [minval, maxval), [B, *shape]; example i draws from its own slot."""
    return _per_example(lambda k: jax.random.uniform(k, shape, minval=minval, maxval=maxval), key, slot)


def integers(key, slot, n, shape=()):
    """Uniform integers in [0, n), i32[B, *shape]; example i draws from its own slot."""
    return _per_example(lambda k: jax.random.randint(k, shape, 0, n), key, slot)


def truncated(latent, key, slot, psi):
    """The latent's distribution restricted to |z| < psi, elementwise, by redrawing what lies outside.

    The truncation trick of BigGAN (Brock et al. 2019, section 3.1). The time grows as 1 / psi.
    """

    def redraw(carry):
        attempt, z = carry
        fresh = latent(fold(key, attempt), slot)
        return attempt + 1, jnp.where(jnp.abs(z) < psi, z, fresh)

    def outside(carry):
        return jnp.any(jnp.abs(carry[1]) >= psi)

    return lax.while_loop(outside, redraw, (0, latent(key, slot)))[1]


_ROUNDS = 8


def _mix(x):
    """The finaliser of MurmurHash3: a bijection of u32 in which every bit reaches every other."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def permute(key, i, n):
    """Entry i of the key's random permutation of range(n), without making the permutation.

    A Feistel network on a rectangle of at least n cells, cycle-walked back into range (Black and
    Rogaway 2002), so a batch costs its own size where sorting would cost the whole data set's.

    Args:
      key: one key, or keys [B] (each entry then belongs to its own permutation).
      i: integers [B] in [0, n).
      n: the length, a Python integer.

    Returns:
      i32[B] in [0, n); of one key, distinct for distinct i.
    """
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    keys = jnp.broadcast_to(key, jnp.shape(i))
    bits = jax.vmap(lambda k: jax.random.bits(k, (_ROUNDS,)))(keys).T  # u32[rounds, B]

    def shuffle(x):
        r, c = x // columns, x % columns
        for turn, salt in enumerate(bits):
            if turn % 2:
                c = (c + _mix(r * jnp.uint32(0x9E3779B9) + salt) % columns) % columns
            else:
                r = (r + _mix(c * jnp.uint32(0x9E3779B9) + salt) % rows) % rows
        return r * columns + c

    def walk(x):
        return jnp.where(x >= n, shuffle(x), x)

    x = shuffle(jnp.asarray(i, jnp.uint32))
    return lax.while_loop(lambda x: jnp.any(x >= n), walk, x).astype(jnp.int32)
