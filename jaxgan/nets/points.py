"""Fully connected networks for points of a low dimension, as the published 2-D experiments have them."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer

from jaxgan.nn.minibatch import MinibatchDiscrimination
from jaxgan.nn.spectral import SpectralDense

_ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh, "leaky_relu": lambda x: nn.leaky_relu(x, 0.2)}


class Generator(nn.Module):
    """z [B, latent] -> points f32[B, features]."""

    hidden: tuple[int, ...]
    features: int = 2
    activation: Literal["relu", "tanh", "leaky_relu"] = "relu"
    norm: bool = False  # batch normalisation before each activation
    bounded: bool = False  # to (-1, 1), by tanh
    kernel_init: Initializer = nn.initializers.lecun_normal()
    axis: str | None = None

    @nn.compact
    def __call__(self, z, *, train: bool):
        x = z
        for width in self.hidden:
            x = nn.Dense(width, use_bias=not self.norm, kernel_init=self.kernel_init)(x)
            if self.norm:
                x = nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis)(x)
            x = _ACTIVATIONS[self.activation](x)
        x = nn.Dense(self.features, kernel_init=self.kernel_init)(x)
        return nn.tanh(x) if self.bounded else x


class Discriminator(nn.Module):
    """Points [B, features] -> logits f32[B].

    With `pieces`, a hidden layer is the largest of so many linear ones (maxout, Goodfellow et al. 2013),
    and the activation is not used. With `minibatch`, the last hidden layer has as many numbers more about
    the rest of the batch (Salimans et al. 2016, section 3.2).
    """

    hidden: tuple[int, ...]
    activation: Literal["relu", "tanh", "leaky_relu"] = "relu"
    pieces: int = 1
    spectral: bool = False
    minibatch: int = 0
    scale: float = 1.0  # what the points are multiplied with
    kernel_init: Initializer = nn.initializers.lecun_normal()
    axis: str | None = None

    @nn.compact
    def __call__(self, x, *, train: bool):
        dense = SpectralDense if self.spectral else nn.Dense
        x = self.scale * x
        for width in self.hidden:
            x = dense(width * self.pieces, kernel_init=self.kernel_init)(x)
            if self.pieces > 1:
                x = x.reshape(-1, self.pieces, width).max(1)
            else:
                x = _ACTIVATIONS[self.activation](x)
        if self.minibatch:
            x = MinibatchDiscrimination(self.minibatch, axis=self.axis)(x)
        return dense(1, kernel_init=self.kernel_init)(x)[:, 0].astype(jnp.float32)
