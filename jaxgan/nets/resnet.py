"""The residual networks of SNGAN (Miyato et al. 2018, table 4, CIFAR-10's), for 32x32 images.

G: z -> 4x4 -> three blocks that double the size -> batch norm, ReLU, 3x3 convolution, tanh.
D: two blocks that halve the size, two that keep it, ReLU, the sum over pixels, one logit; every
layer spectrally normalised.
"""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv
from jaxgan.nn.spectral import SpectralConv, SpectralDense

_relu_gain = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
_unit_gain = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def _double(x):
    return x.repeat(2, 1).repeat(2, 2)


def _halve(x):
    return nn.avg_pool(x, (2, 2), (2, 2))


class UpBlock(nn.Module):
    """x [B, H, W, C] -> [B, 2H, 2W, features]: batch norm, ReLU and 3x3 convolution, twice."""

    features: int
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, x, *, train: bool):
        norm = partial(nn.BatchNorm, not train, momentum=0.9, axis_name=self.axis, dtype=self.dtype)
        conv = partial(Conv, self.features, dtype=self.dtype)
        y = _double(nn.relu(norm()(x)))
        y = conv((3, 3), kernel_init=_relu_gain)(y)
        y = conv((3, 3), kernel_init=_relu_gain)(nn.relu(norm()(y)))
        return y + _double(conv((1, 1), kernel_init=_unit_gain)(x))


class Generator(nn.Module):
    """z [B, latent] -> images f32[B, 32, 32, channels] in (-1, 1)."""

    width: int = 256
    channels: int = 3
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, z, *, train: bool):
        x = nn.Dense(16 * self.width, dtype=self.dtype, kernel_init=_unit_gain)(z.astype(self.dtype))
        x = x.reshape(-1, 4, 4, self.width)
        for _ in range(3):
            x = UpBlock(self.width, self.dtype, self.axis)(x, train=train)
        x = nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis, dtype=self.dtype)(x)
        x = Conv(self.channels, (3, 3), dtype=self.dtype, kernel_init=_unit_gain)(nn.relu(x))
        return jnp.tanh(x.astype(jnp.float32))


class DownBlock(nn.Module):
    """x [B, H, W, C] -> [B, H, W, features], or half the size: ReLU and 3x3 convolution, twice.

    The first block of a network takes its input without ReLU, and halves the shortcut before the
    1x1 convolution instead of after.
    """

    features: int
    halve: bool
    first: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        conv = partial(SpectralConv, self.features, dtype=self.dtype)
        y = conv((3, 3), kernel_init=_relu_gain)(x if self.first else nn.relu(x))
        y = conv((3, 3), kernel_init=_relu_gain)(nn.relu(y))
        if self.first:
            return _halve(y) + conv((1, 1), kernel_init=_unit_gain)(_halve(x))
        if self.halve:
            return _halve(y) + _halve(conv((1, 1), kernel_init=_unit_gain)(x))
        return y + x


class Discriminator(nn.Module):
    """Images [B, 32, 32, C] -> logits f32[B]."""

    width: int = 128
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = x.astype(self.dtype)
        for i in range(4):
            x = DownBlock(self.width, halve=i < 2, first=i == 0, dtype=self.dtype)(x)
        x = nn.relu(x).sum((1, 2))
        x = SpectralDense(1, dtype=self.dtype, kernel_init=_unit_gain)(x)
        return x[:, 0].astype(jnp.float32)
