"""Fully connected networks, after Goodfellow et al. 2014."""

import math

import jax.numpy as jnp
from flax import linen as nn


def _leaky_relu(x):
    return nn.leaky_relu(x, 0.2)


class Generator(nn.Module):
    """z [B, latent] -> images f32[B, H, W, C] in (-1, 1).

    Each hidden layer is dense, LeakyReLU(0.2) and, where `norm_momentum` is given, batch
    normalisation with that decay of its running statistics.
    """

    image_shape: tuple[int, int, int]
    hidden: tuple[int, ...] = (256, 512, 1024)
    norm_momentum: float | None = 0.8
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, z, *, train: bool):
        x = z
        for width in self.hidden:
            x = _leaky_relu(nn.Dense(width, dtype=self.dtype)(x))
            if self.norm_momentum is not None:
                x = nn.BatchNorm(
                    use_running_average=not train,
                    momentum=self.norm_momentum,
                    axis_name=self.axis,
                    dtype=self.dtype,
                )(x)
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32)).reshape(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Images [B, H, W, C] -> logits f32[B]."""

    hidden: tuple[int, ...] = (512, 256)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = _leaky_relu(nn.Dense(width, dtype=self.dtype)(x))
        return nn.Dense(1, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)
