"""Penalties on the discriminator, pure functions of any callable that makes logits.

All have one signature, `(critic, real, fake, key, slot) -> [B]`, so that they add up: `critic` maps
data [B, ...] to logits [B, ...], `slot` i32[B] is each example's place in the global batch. What a
penalty does not need it ignores. A norm is an example's own; where it is 0 its gradient is 0, not NaN.
"""

import jax
import jax.numpy as jnp

from jaxgan import random


def squared_gradient(critic, x):
    """The squared norm of the critic's gradient in each example, [B].

    A patch critic's logits [B, h, w] are averaged first, so that its size does not scale the penalty.
    """

    def total(x):
        logits = critic(x)
        return logits.reshape(logits.shape[0], -1).mean(1).sum()

    return jnp.square(jax.grad(total)(x)).reshape(x.shape[0], -1).sum(1)


def safe_norm(squared):
    """The square root, with gradient 0 at 0."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def interpolate(real, fake, key, slot):
    """A point on the line between each real and fake pair, uniform and one weight an example."""
    if real.shape != fake.shape:
        raise ValueError(f"real {real.shape} and fake {fake.shape} differ in shape")
    weight = random.uniform(random.fold(key, "interpolate"), slot, (1,) * (real.ndim - 1))
    return real + weight * (fake - real)


def gradient_penalty(critic, real, fake, key, slot, *, weight: float = 10.0):
    """weight (||grad D|| - 1)^2 between real and fake (Gulrajani et al. 2017, equation 3)."""
    norm = safe_norm(squared_gradient(critic, interpolate(real, fake, key, slot)))
    return weight * jnp.square(norm - 1)


def r1(critic, real, fake, key, slot, *, gamma: float = 10.0):
    """gamma / 2 ||grad D||^2 at the real data (Mescheder, Geiger and Nowozin 2018, equation 9)."""
    return gamma / 2 * squared_gradient(critic, real)


def r2(critic, real, fake, key, slot, *, gamma: float = 10.0):
    """gamma / 2 ||grad D||^2 at the generated data (as above, equation 10)."""
    return gamma / 2 * squared_gradient(critic, fake)
