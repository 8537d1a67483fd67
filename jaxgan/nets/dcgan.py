"""The networks of DCGAN (Radford, Metz and Chintala 2016), at 8, 16, 32, 64 or 128 pixels by one rule.

From 4x4 each transposed convolution doubles the size and halves the channels, down to `width`
before the image; the discriminator is the mirror. No pooling, no hidden dense layer, batch
normalisation everywhere but G's output and D's input, ReLU in G, LeakyReLU(0.2) in D, weights from
N(0, 0.02) and gains from N(1, 0.02). Kernels are 4x4 (the authors' code has 5x5), so that every
output pixel is reached by the same number of taps.

With `n_classes`, a label's one-hot code is concatenated to every layer's input in both networks:
as in the conditional DCGAN of the same authors' code, after Mirza and Osindero 2014. G can take it by
conditional batch normalisation instead, and D by a head of its own (see `jaxgan.nn.conditional`).
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv, ConvTranspose
from jaxgan.nn.norm import ConditionalBatchNorm
from jaxgan.nn.spectral import SpectralConv, SpectralDense

SIZES = (8, 16, 32, 64, 128)

_weights = nn.initializers.normal(0.02)


def _gains(key, shape, dtype=jnp.float32):
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def _levels(image_size: int) -> int:
    if image_size not in SIZES:
        raise ValueError(f"DCGAN makes images of {SIZES} pixels, not {image_size}")
    return SIZES.index(image_size) + 1


def _join(x, label, n_classes: int | None):
    """x [B, ..., C] with the one-hot label as n_classes more channels."""
    if n_classes is None:
        return x
    code = jax.nn.one_hot(label, n_classes, dtype=x.dtype)
    code = code.reshape(code.shape[0], *(1,) * (x.ndim - 2), n_classes)
    return jnp.concatenate([x, jnp.broadcast_to(code, (*x.shape[:-1], n_classes))], -1)


class _Net(nn.Module):
    """What both networks have: a batch norm, and the convolutions' common arguments."""

    width: int = 64
    n_classes: int | None = None
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    def normalise(self, x, train: bool):
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            axis_name=self.axis,
            dtype=self.dtype,
            scale_init=_gains,
        )(x)

    def layer(self, kind: Callable, features: int, *, use_bias: bool):
        return kind(features, (4, 4), (2, 2), use_bias=use_bias, dtype=self.dtype, kernel_init=_weights)


class Generator(_Net):
    """z [B, latent], label i32[B] where conditional -> images f32[B, S, S, channels] in (-1, 1)."""

    image_size: int = 32
    channels: int = 1
    conditional_norm: bool = (
        False  # the label chooses batch norm's scales and biases, and enters nowhere else
    )

    def normalise_for(self, x, label, train: bool):
        if not self.conditional_norm:
            return self.normalise(x, train)
        return ConditionalBatchNorm(self.n_classes, dtype=self.dtype, axis_name=self.axis)(
            x, label, train=train
        )

    @nn.compact
    def __call__(self, z, label=None, *, train: bool):
        levels = _levels(self.image_size)
        width = self.width << (levels - 1)
        joined = None if self.conditional_norm else self.n_classes
        x = _join(z.astype(self.dtype), label, joined)
        x = nn.Dense(16 * width, use_bias=False, dtype=self.dtype, kernel_init=_weights)(x)
        x = nn.relu(self.normalise_for(x.reshape(-1, 4, 4, width), label, train))
        for level in range(levels - 1):
            x = _join(x, label, joined)
            x = self.layer(ConvTranspose, width >> (level + 1), use_bias=False)(x)
            x = nn.relu(self.normalise_for(x, label, train))
        x = _join(x, label, joined)
        x = self.layer(ConvTranspose, self.channels, use_bias=True)(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(_Net):
    """Images [B, S, S, C], label i32[B] where conditional -> logits f32[B], or what `head` says.

    `norm` is the paper's batch normalisation; "none" is for penalties of an example's own gradient,
    "spectral" normalises every weight instead. A `head` is called (features [B, F], label) and takes the
    place of the last layer.
    """

    norm: Literal["batch", "spectral", "none"] = "batch"
    head: nn.Module | None = None

    @nn.compact
    def __call__(self, x, label=None, *, train: bool):
        conv, dense = (SpectralConv, SpectralDense) if self.norm == "spectral" else (Conv, nn.Dense)
        x = x.astype(self.dtype)
        for level in range(_levels(x.shape[1])):
            normed = level > 0 and self.norm == "batch"
            x = _join(x, label, self.n_classes)
            x = self.layer(conv, self.width << level, use_bias=not normed)(x)
            x = nn.leaky_relu(self.normalise(x, train) if normed else x, 0.2)
        x = _join(x.reshape(x.shape[0], -1), label, self.n_classes)
        if self.head is not None:
            return self.head(x, label)
        x = dense(1, dtype=self.dtype, kernel_init=_weights)(x)
        return x[:, 0].astype(jnp.float32)
