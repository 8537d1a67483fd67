"""Anomalies: what a generator of normal data alone cannot make.

AnoGAN (Schlegl et al. 2017, https://arxiv.org/abs/1703.05921) searches the latent whose sample is nearest to
a query, and f-AnoGAN (Schlegl et al. 2019, https://doi.org/10.1016/j.media.2019.01.010) has an encoder say
it; what is left of a difference is the score. G and D are in inference mode throughout, and D sees one query
at a time: by a batch's statistics scores would depend on what else is in it, and learn of the test set.
"""

import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax

from jaxgan import random
from jaxgan.config import InputError
from jaxgan.data import resident
from jaxgan.game import GAN

BATCH = 64  # queries at a time, filled up: how many there are is no part of a score, not even of its last bit
STEPS = 500  # of a search
RATE = 0.02  # of Adam there; the paper has none
WEIGHT = 0.1  # of D's features in the score, lambda


class Examined(NamedTuple):
    """What is found of queries."""

    reconstruction: jax.Array  # [B, ...], the nearest that G makes, or is made to make
    residual: jax.Array  # f32[B], how far it is from the query
    features: jax.Array  # f32[B], and what D's last hidden layer sees of them from each other
    score: jax.Array  # f32[B], the larger the more anomalous


def features(critic: Callable, x, *asks):
    """What D's last layer of weights is given, f32[B, F] of data [B, ...].

    Args:
      critic: (data, *asks) -> logits, a linen network in inference mode.
      asks: what D is told beside, [B, ...].

    Raises:
      InputError: if it has no layer with a kernel.
    """

    def one(*example):
        given = []

        def keep(call, args, kwargs, context):
            made = call(*args, **kwargs)
            if context.method_name == "__call__" and context.module.has_variable("params", "kernel"):
                given.append(args[0])
            return made

        with nn.intercept_methods(keep):
            critic(*(part[None] for part in example))
        if not given:
            raise InputError("D has no layer of weights, before which it could have features")
        return given[-1].reshape(-1).astype(jnp.float32)

    return jax.vmap(one)(x, *asks)


def _each(x):
    return x.reshape(len(x), -1)


def search(
    gan: GAN,
    g_variables,
    d_variables,
    x,
    key,
    slot,
    *asks,
    steps: int = STEPS,
    rate=RATE,
    weight=WEIGHT,
) -> Examined:
    """AnoGAN: from a latent drawn by its slot each query's own is sought by Adam, and

        (1 - weight) sum |x - G(z)| + weight sum |f(x) - f(G(z))|

    is what is minimised, and at its end the score (equations 2, 4 and 5).

    Args:
      x: queries as G makes data, [B, ...].
      slot: i32[B]; see `slots`.
      asks: what G and D are told beside, if they are, [B, ...].
    """
    critic = partial(gan.critic, d_variables)
    of_x = features(critic, x, *asks)

    def at(z) -> Examined:
        made = gan.sample(g_variables, z, *asks)
        residual = jnp.abs(_each(x - made)).sum(1)
        apart = jnp.abs(of_x - features(critic, made, *asks)).sum(1)
        return Examined(made, residual, apart, (1 - weight) * residual + weight * apart)

    adam = optax.scale_by_adam()

    def step(carry, _):
        z, state = carry
        slope = jax.grad(lambda z: at(z).score.sum())(z)
        moves, state = adam.update(slope, state)
        return (jax.tree.map(lambda z, move: z - rate * move, z, moves), state), None

    z = gan.latent(random.fold(key, "search"), slot)
    (z, _), _ = lax.scan(step, (z, adam.init(z)), None, length=steps)
    return at(z)


def izi(x, made, of_x, of_made, weight=1.0) -> Examined:
    """f-AnoGAN: the mean square of x - made, and `weight` times that of their features' difference (its
    equation 5; an encoder's loss is the same)."""
    residual, apart = jnp.square(_each(x - made)).mean(1), jnp.square(of_x - of_made).mean(1)
    return Examined(made, residual, apart, residual + weight * apart)


def controlled(gan: GAN, examine: Callable, key) -> Callable:
    """`examine`, as a game has it, which is told whether to take G as it was before its first step.

    Args:
      key: of the run.
    """

    def examined(g_variables, d_variables, x, own_key, slot, untrained=False):
        start, _, _ = gan.init(random.fold(key, "init"), {"image": x, "slot": slot})
        g = jax.tree.map(lambda a, b: jnp.where(untrained, a, b), start, g_variables)
        return examine(g, d_variables, x, own_key, slot)

    return examined


def slots(images: np.ndarray) -> np.ndarray:
    """A number of each image's own, i32[N]: its pixels decide where its search begins, and neither its place
    nor what else is asked for."""
    return np.array([zlib.crc32(np.ascontiguousarray(x)) >> 1 for x in images], np.int32)


def examined(examine: Callable, images: np.ndarray, key, *more) -> Examined:
    """What is found of images uint8[N, H, W, C], on the host.

    Args:
      examine: (data, key, slot, *more) -> Examined, compiled.
    """
    images = np.asarray(images)
    own, n, parts = slots(images), len(images), []
    for first in range(0, n, BATCH):
        rows = np.arange(first, first + BATCH) % n
        found = examine(resident.scaled(jnp.asarray(images[rows])), key, jnp.asarray(own[rows]), *more)
        parts.append(jax.device_get(found))
    return Examined(*(np.concatenate(x)[:n] for x in zip(*parts, strict=True)))
