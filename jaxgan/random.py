"""Random numbers that depend on neither the number of devices nor the size of a microbatch.

Nothing is ever advanced: a number is a function of the run's key, the step, a name, and, where it is
drawn for an example, that example's slot in the global batch. So any step can be replayed.
"""

import math
import zlib
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.config import InputError


def kind_of(x) -> str:
    """What x is, in a word: f32[8, 2] of an array, else its type's name."""
    if isinstance(x, int | float | str | bool | None):
        return repr(x)
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype}{list(x.shape)}"
    return getattr(x, "__name__", type(x).__name__)


def _key(key):
    """Raises InputError unless it is one typed key."""
    typed = hasattr(key, "dtype") and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not typed or key.shape:
        raise InputError(
            f"a key is one made by jax.random.key(seed) (PRNGKey makes others), not {kind_of(key)}"
        )
    return key


def _integers(name, x, ndim):
    """Raises InputError unless x is an array of integers with so many axes."""
    x = jnp.asarray(x) if isinstance(x, list | tuple) else x
    if jnp.ndim(x) != ndim or not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise InputError(f"{name} is integers [B], such as jnp.arange(B), not {kind_of(x)}")
    return x


def _count(name, n):
    """Raises InputError unless n, where its value is known, is a whole number of 1 or more."""
    if isinstance(n, bool | float) or (isinstance(n, int) and n < 1):
        raise InputError(f"{name} is a whole number of 1 or more, not {n!r}")


def fold(key, *data):
    """The key folded with each datum in turn: an integer (traced or not) or a name.

    Raises:
      InputError: if the key is not one typed key, as jax.random.key(0), or a datum is a float, which would
        be cut to an integer.
    """
    key = _key(key)
    for datum in data:
        if isinstance(datum, str):
            datum = zlib.crc32(datum.encode())
        elif jnp.ndim(datum) or not jnp.issubdtype(jnp.result_type(datum), jnp.integer):
            raise InputError(f"a key is folded with an integer or a name, not {kind_of(datum)}")
        key = jax.random.fold_in(key, datum)
    return key


def _per_example(draw, key, slot):
    key, slot = _key(key), _integers("slot", slot, 1)
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(slot)


def normal(key, slot, shape=()):
    """Standard normal numbers [B, *shape]; example i draws from `fold_in(key, slot[i])`."""
    return _per_example(lambda k: jax.random.normal(k, shape), key, slot)


def uniform(key, slot, shape=(), *, minval=0.0, maxval=1.0):
    """Uniform numbers in [minval, maxval), [B, *shape]; example i draws from its own slot."""
    return _per_example(lambda k: jax.random.uniform(k, shape, minval=minval, maxval=maxval), key, slot)


def integers(key, slot, n, shape=()):
    """Uniform integers in [0, n), i32[B, *shape]; example i draws from its own slot."""
    _count("n", n)
    return _per_example(lambda k: jax.random.randint(k, shape, 0, n), key, slot)


def truncated(latent, key, slot, psi):
    """The latent's distribution restricted to |z| < psi, elementwise, by redrawing what lies outside.

    The truncation trick of BigGAN (Brock et al. 2019, section 3.1). The time grows as 1 / psi.

    Raises:
      InputError: if psi is not above 0, where the redrawing would never end.
    """
    if not isinstance(psi, jax.core.Tracer) and not psi > 0:
        raise InputError(f"psi is a number above 0, not {psi}")

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


@partial(jax.jit, static_argnames="n", inline=True)
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
    _count("n", n)
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    keys = jnp.broadcast_to(key, jnp.shape(i))
    bits = jax.vmap(lambda k: jax.random.bits(k, (_ROUNDS,), jnp.uint32))(keys).T  # [rounds, B]

    def shuffle(x):
        r, c = x // columns, x % columns
        for turn, salt in enumerate(bits):
            if turn % 2:
                c = (c + _mix(r * jnp.uint32(0x9E3779B9) + salt) % columns) % columns
            else:
                r = (r + _mix(c * jnp.uint32(0x9E3779B9) + salt) % rows) % rows
        return r * columns + c

    def walk(carry):
        again, x = carry
        x = jnp.where(again, shuffle(x), x)
        return x >= n, x

    # The first round is one of the loop's: the rounds are in the program once.
    x = jnp.asarray(i, jnp.uint32)
    return lax.while_loop(lambda carry: jnp.any(carry[0]), walk, (x == x, x))[1].astype(jnp.int32)
