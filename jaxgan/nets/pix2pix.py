"""The networks of pix2pix (Isola et al. 2017, section 6.1): a U-Net from image to image, and a discriminator
of patches. Layers, sizes and counts of weights are those of the authors' code in PyTorch.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv, ConvTranspose
from jaxgan.nn.norm import UnkeptBatchNorm, instance_norm
from jaxgan.random import fold

Norm = Literal["instance", "batch", "none"]
MOST = 8  # times the width, of the deepest maps

_weights = nn.initializers.normal(0.02)


def depth(image_size: int) -> int:
    """Levels of a U-Net: down to maps of 4x4 where the side is a power of two; 2 at least."""
    return max(2, (image_size & -image_size).bit_length() - 3)


def _gains(key, shape, dtype=jnp.float32):
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def dropped(keys, x, rate: float):
    """x [B, ...] with elements at 0 and the others larger by as much; example i's by its key, keys [B]."""
    if isinstance(rate, int | float) and rate == 0:
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


class _Net(nn.Module):
    """What both networks have."""

    width: int = 64
    norm: Norm = "instance"
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    def normalise(self, x, train: bool):
        if self.norm == "batch":
            return UnkeptBatchNorm(axis_name=self.axis, scale_init=_gains)(x, train=train)
        return instance_norm(x) if self.norm == "instance" else x

    def conv(self, features: int, stride: int, *, bias: bool, transposed: bool = False):
        kind, padding = ConvTranspose if transposed else Conv, "SAME" if stride == 2 else ((1, 1), (1, 1))
        options = {"use_bias": bias, "dtype": self.dtype, "kernel_init": _weights}
        return kind(features, (4, 4), (stride, stride), padding, **options)


class Generator(_Net):
    """z keys [B], image [B, H, W, C] -> images f32[B, H, W, channels] in (-1, 1).

    Each of `depth` levels halves the size, and its map joins the one that the way back has at that size. The
    only noise is dropout in the first three levels of the way back (of a U-Net of less than five, all but the
    last two, but the first), also in sampling, by each example's own key.

    Raises:
      ValueError: if a side is no multiple of 2^depth.
    """

    depth: int = 8
    channels: int = 3
    dropout: float = 0.5

    @nn.compact
    def __call__(self, z, image, *, train: bool):
        if any(side % 2**self.depth for side in image.shape[1:3]):
            sides = "x".join(map(str, image.shape[1:3]))
            by = 2**self.depth
            raise ValueError(
                f"a U-Net of depth {self.depth} takes sides that are multiples of {by}, not {sides}"
            )
        widths = [self.width * min(2**level, MOST) for level in range(self.depth)]
        bias, maps = self.norm != "batch", []
        x = image.astype(self.dtype)
        for level, width in enumerate(widths):
            x = x if level == 0 else nn.leaky_relu(x, 0.2)
            x = self.conv(width, 2, bias=bias)(x)
            x = self.normalise(x, train) if 0 < level < self.depth - 1 else x
            maps.append(x)
        for level in range(self.depth - 2, -1, -1):
            x = self.conv(widths[level], 2, bias=bias, transposed=True)(nn.relu(x))
            x = self.normalise(x, train)
            if self.depth - 2 - level < max(1, min(3, self.depth - 2)):
                keys = jax.vmap(lambda key, level=level: fold(key, level))(z)
                x = dropped(keys, x, self.dropout)
            x = jnp.concatenate([maps[level], x], -1)
        x = self.conv(self.channels, 2, bias=True, transposed=True)(nn.relu(x))
        return jnp.tanh(x.astype(jnp.float32))


class Filled(nn.Module):
    """z, image [B, H, W, C + 1], the last channel 1 in a hole and -1 elsewhere -> f32[B, H, W, C]: what a
    network answers in the hole, and the image itself, bit for bit, around it (Pathak et al. 2016)."""

    net: nn.Module

    @nn.compact
    def __call__(self, z, image, *, train: bool):
        answer = self.net(z, image, train=train)
        if image.shape != (*answer.shape[:-1], answer.shape[-1] + 1):
            c, given = answer.shape[-1], image.shape[-1]
            raise ValueError(
                f"a hole is told by a last channel beside the {c} of the answer; there are {given}"
            )
        return jnp.where(image[..., -1:] > 0, answer, image[..., :-1])


class Discriminator(_Net):
    """Images [B, H, W, C], and the images that they answer to, if any -> logits f32[B, h, w], one a patch.

    With `layers` from 0 to 5 a patch has 1, 16, 34, 70, 142 or 286 pixels a side.
    """

    layers: int = 3

    @nn.compact
    def __call__(self, x, image=None, *, train: bool):
        x = x if image is None else jnp.concatenate([image, x], -1)
        x, bias = x.astype(self.dtype), self.norm != "batch"
        if self.layers == 0:
            one = lambda features, bias: Conv(  # noqa: E731
                features, (1, 1), use_bias=bias, dtype=self.dtype, kernel_init=_weights
            )
            x = nn.leaky_relu(one(self.width, True)(x), 0.2)
            x = nn.leaky_relu(self.normalise(one(2 * self.width, bias)(x), train), 0.2)
            return one(1, bias)(x)[..., 0].astype(jnp.float32)
        x = nn.leaky_relu(self.conv(self.width, 2, bias=True)(x), 0.2)
        for level in range(1, self.layers + 1):
            stride = 2 if level < self.layers else 1
            x = self.conv(self.width * min(2**level, MOST), stride, bias=bias)(x)
            x = nn.leaky_relu(self.normalise(x, train), 0.2)
        return self.conv(1, 1, bias=True)(x)[..., 0].astype(jnp.float32)
