"""The networks of SRGAN (Ledig et al. 2017, figure 4): SRResNet, a generator of images so many times as large
as those that it is given, and a discriminator of whole images.
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nets import pix2pix
from jaxgan.nn.conv import Conv


def shuffled(x):
    """x [B, h, w, 4 C] -> [B, 2h, 2w, C]: of four channels that follow each other the pixels of a square, row
    by row (Shi et al. 2016, equation 4)."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(b, 2 * h, 2 * w, c // 4)


class _Net(nn.Module):
    """What both networks have."""

    width: int = 64
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    def conv(self, x, features: int, size: int = 3, stride: int = 1, bias: bool = True):
        options = {"use_bias": bias, "dtype": self.dtype}
        return Conv(features, (size, size), (stride, stride), **options)(x)

    def normalised(self, x, train: bool):
        return nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis, dtype=self.dtype)(x)


class Generator(_Net):
    """z, which is not used, image [B, h, w, C] -> images f32[B, factor h, factor w, channels].

    9x9, residual blocks with batch normalisation, doublings by `shuffled` convolutions, 9x9; PReLUs have one
    slope each, as PyTorch's own. As in the paper nothing bounds the output: levels outside [-1, 1] are cut
    where they are shown.

    Raises:
      ValueError: if the factor is no power of two.
    """

    blocks: int = 16
    factor: int = 4
    channels: int = 3

    @nn.compact
    def __call__(self, z, image, *, train: bool):
        if self.factor < 2 or self.factor & (self.factor - 1):
            raise ValueError(f"SRResNet makes images 2, 4 or 8 times as large, not {self.factor}")
        bent = lambda x: nn.PReLU(negative_slope_init=0.25)(x)  # noqa: E731
        x = first = bent(self.conv(image.astype(self.dtype), self.width, 9))
        for _ in range(self.blocks):
            y = bent(self.normalised(self.conv(x, self.width), train))
            x = x + self.normalised(self.conv(y, self.width), train)
        x = first + self.normalised(self.conv(x, self.width), train)
        for _ in range(self.factor.bit_length() - 1):
            x = bent(shuffled(self.conv(x, 4 * self.width)))
        return self.conv(x, self.channels, 9).astype(jnp.float32)


class Discriminator(_Net):
    """Images [B, H, W, C] -> logits f32[B]; what they answer to is not looked at.

    Eight 3x3 convolutions, of which every second halves the size and every other but the first doubles the
    channels, LeakyReLU, batch normalisation but on the first, and two dense layers.
    """

    dense: int = 1024

    @nn.compact
    def __call__(self, x, image=None, *, train: bool):
        x = nn.leaky_relu(self.conv(x.astype(self.dtype), self.width), 0.2)
        for i in range(1, 8):
            x = self.conv(x, self.width << (i // 2), stride=1 + i % 2, bias=False)
            x = nn.leaky_relu(self.normalised(x, train), 0.2)
        x = nn.leaky_relu(nn.Dense(self.dense, dtype=self.dtype)(x.reshape(len(x), -1)), 0.2)
        return nn.Dense(1, dtype=self.dtype)(x)[:, 0].astype(jnp.float32)


class PatchDiscriminator(nn.Module):
    """Images [B, H, W, C], and the smaller ones that they answer to -> logits f32[B, h, w], one a patch: the
    discriminator of pix2pix (Isola et al. 2017), shown both at one size. It is not the paper's."""

    width: int = 32
    layers: int = 2

    @nn.compact
    def __call__(self, x, image, *, train: bool):
        (h, w), (height, width) = image.shape[1:3], x.shape[1:3]
        image = image.repeat(height // h, 1).repeat(width // w, 2)
        return pix2pix.Discriminator(self.width, layers=self.layers)(x, image, train=train)
