"""The networks of medGAN (Choi et al. 2017; widths and momentum from the authors' code)."""

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.minibatch import MinibatchMean


class Generator(nn.Module):
    """z [B, width] -> records f32[B, features] by a decoder: in (0, 1), or of counts from 0 up.

    A layer is dense, batch normalisation and ReLU, and its input is added (shortcuts), so that z, the layers
    and the code are of one width. The last is tanh, or of counts ReLU, as is the encoder.

    Given `real` [B, features], it also says what the autoencoder makes of these: of counts the counts, else
    logits, f32[B, features].

    Raises:
      ValueError: if z is of another width.
    """

    features: int
    width: int = 128
    layers: int = 2  # before the last
    counts: bool = False
    momentum: float = 0.99
    axis: str | None = None

    @nn.compact
    def __call__(self, z, *, train: bool, real=None):
        if z.shape[-1] != self.width:
            raise ValueError(f"z [B, {z.shape[-1]}] is added to layers of {self.width}: make them one width")
        last = nn.relu if self.counts else nn.tanh
        decoder = nn.Dense(self.features, name="decoder")
        x = z
        for activation in (*(nn.relu,) * self.layers, last):
            y = nn.Dense(self.width, use_bias=False)(x)
            y = nn.BatchNorm(not train, momentum=self.momentum, axis_name=self.axis)(y)
            x = x + activation(y)
        made = decoder(x)
        made = nn.relu(made) if self.counts else nn.sigmoid(made)
        if real is None:
            return made
        again = decoder(last(nn.Dense(self.width, name="encoder")(real)))
        return made, nn.relu(again) if self.counts else again


class Discriminator(nn.Module):
    """Records [B, features] -> logits f32[B], by each and the batch's mean (minibatch averaging)."""

    hidden: tuple[int, ...] = (256, 128)
    averaging: bool = True
    axis: str | None = None

    @nn.compact
    def __call__(self, x):
        x = MinibatchMean(self.axis)(x) if self.averaging else x
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(1)(x)[:, 0].astype(jnp.float32)
