"""Whose statistics a generator's batch normalisation has where it is sampled: three protocols, three scores.

Those that training kept are of the weights of many steps. Standing ones are taken anew at the weights that
are sampled (Brock et al. 2019, appendix C); with both, a sample depends on no other. Each batch's own are
what G has in training.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import random
from jaxgan.game import GAN

Statistics = Literal["running", "standing", "batch"]
PASSES = 100  # batches behind standing statistics, as in the paper


def standing_statistics(
    gan: GAN, variables, key, condition=None, *, passes: int = PASSES, batch_size: int = 64, psi=None
):
    """G's variables with the mean of the statistics of many batches in the place of the running ones.

    A batch moves a running statistic s to m s + (1 - m) b, where b is its own and the momentum m the layer's.
    So from 0 it moves it to (1 - m) b, and from 1 by m further, which tells b of any layer. The variance is
    the mean of the batches' own, which training divides by, and not that of all their examples together.

    Args:
      variables: G's; the running statistics in "batch_stats" have no part in what comes of them.
      key: of the latents.
      condition: [passes * batch_size, ...], if G takes one.
      psi: truncates the latents to |z| < psi.
    """
    slot = jnp.arange(passes * batch_size)
    batches = jax.tree.map(lambda x: x.reshape(passes, batch_size, *x.shape[1:]), (slot, condition))
    return _standing(gan, psi, variables, key, batches)


@partial(jax.jit, static_argnums=(0, 1))
def _standing(gan: GAN, psi, variables, key, batches):
    def moved(start: float, of):
        """Where a batch moves statistics of one number to."""
        slot, condition = of
        z = gan.latent(key, slot) if psi is None else random.truncated(gan.latent, key, slot, psi)
        still = jax.tree.map(lambda x: jnp.full_like(x, start), variables["batch_stats"])
        key_of = random.fold(key, slot[0])
        return gan.pass_through({**variables, "batch_stats": still}, z, condition, key_of)[1]["batch_stats"]

    def add(total, of):
        return jax.tree.map(jnp.add, total, moved(0.0, of)), None

    first = jax.tree.map(lambda x: x[0], batches)
    ones, zeros = moved(1.0, first), moved(0.0, first)
    rest = jax.tree.map(lambda x: x[1:], batches)
    total, _ = lax.scan(add, zeros, rest)
    passes = len(batches[0])
    mean = jax.tree.map(lambda s, one, zero: s / passes / (1 - (one - zero)), total, ones, zeros)
    return {**variables, "batch_stats": mean}


def batchwise(gan: GAN) -> Callable:
    """As `gan.sample`, by the statistics of the batch that is sampled."""

    def sample(variables, z, condition=None):
        return gan.pass_through(variables, z, condition, jax.random.key(0))[0]

    return sample
