"""Discriminators of patches at several scales, which tell their inner maps too (Wang et al. 2018, section
3.2). Layers, sizes and counts of weights are those of the authors' code in PyTorch.
"""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nets.pix2pix import MOST
from jaxgan.nn.conv import Conv
from jaxgan.nn.label_map import codes
from jaxgan.nn.norm import instance_norm
from jaxgan.nn.spectral import SpectralConv

_weights = nn.initializers.normal(0.02)


def halved(x):
    """x [B, H, W, C] at half its size, [B, ceil(H / 2), ceil(W / 2), C]: means of 3x3 pixels, of those that
    lie in the image."""
    return nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)


class Patches(nn.Module):
    """x [B, H, W, C] -> (logits f32[B, h, w], the maps after each layer before, a tuple)."""

    width: int = 64
    layers: int = 3
    norm: Literal["instance", "spectral"] = "instance"  # spectral: beside the instance's
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        def conv(x, features, stride, kind=Conv, bias=True):
            options = {"use_bias": bias, "dtype": self.dtype, "kernel_init": _weights}
            return kind(features, (4, 4), (stride, stride), ((2, 2), (2, 2)), **options)(x)

        inner, spectral = SpectralConv if self.norm == "spectral" else Conv, self.norm == "spectral"
        maps = [nn.leaky_relu(conv(x.astype(self.dtype), self.width, 2), 0.2)]
        for level in range(1, self.layers + 1):
            width, stride = self.width * min(2**level, MOST), 2 if level < self.layers else 1
            x = instance_norm(conv(maps[-1], width, stride, inner, bias=not spectral))
            maps.append(nn.leaky_relu(x, 0.2))
        return conv(maps[-1], 1, 1)[..., 0].astype(jnp.float32), tuple(maps)


class Discriminator(nn.Module):
    """Images [B, H, W, C], and the images that they answer to -> (logits f32[B, n] of all scales together,
    what each scale says: (logits [B, h, w], maps)).

    Scale 0 is of the inputs' size, each further one of half the size of the one before; the images that it is
    given are of the first of `scales`.
    """

    width: int = 64
    layers: int = 3
    scales: range = range(2)
    norm: Literal["instance", "spectral"] = "instance"
    labels: int | None = None  # of the label map that the images answer to; None: they answer to an image
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, image, *, train: bool):
        given = image if self.labels is None else codes(image, self.labels)
        first, said = self.scales[0], []
        for _ in range(first):
            given = halved(given)
        x = jnp.concatenate([given, x], -1)
        for scale in self.scales:
            x = x if scale == first else halved(x)
            net = Patches(self.width, self.layers, self.norm, self.dtype, name=f"scale_{scale}")
            said.append(net(x))
        logits = jnp.concatenate([of.reshape(len(x), -1) for of, _ in said], -1)
        return logits, tuple(said)
