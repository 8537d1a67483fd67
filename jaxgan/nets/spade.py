"""The networks of GauGAN (Park et al. 2019): a generator of images from label maps by spatially adaptive
normalisation, and an encoder of styles; the discriminator is that of `jaxgan.nets.multiscale`. Layers, sizes
and counts of weights are those of the authors' code in PyTorch.
"""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv
from jaxgan.nn.label_map import codes, resized
from jaxgan.nn.norm import instance_norm
from jaxgan.nn.spectral import SpectralConv

_weights = nn.initializers.variance_scaling(0.02**2, "fan_avg", "normal")  # Xavier's, with a gain of 0.02


class Spade(nn.Module):
    """x [B, h, w, C], codes [B, H, W, K] -> [B, h, w, C]: x by a norm that has no parameters, times 1 + gamma
    and plus beta, which two convolutions make of the codes, a number for each place and channel."""

    hidden: int = 128
    norm: Literal["batch", "instance"] = "batch"
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, x, codes, *, train: bool):
        plain = instance_norm
        if self.norm == "batch":
            plain = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                use_scale=False,
                use_bias=False,
                dtype=self.dtype,
                axis_name=self.axis,
                name="plain",
            )
        conv = lambda features, name: Conv(  # noqa: E731
            features, (3, 3), kernel_init=_weights, dtype=self.dtype, name=name
        )
        of = nn.relu(conv(self.hidden, "shared")(resized(codes, x.shape[1:3])))
        return plain(x) * (1 + conv(x.shape[-1], "gamma")(of)) + conv(x.shape[-1], "beta")(of)


class Joined(nn.Module):
    """x [B, h, w, C], codes [B, H, W, K] -> [B, h, w, C + K]: both, by instance normalisation. Where a map is
    of one label alone, this leaves nothing of it: the paper's reason for `Spade` (section 3)."""

    @nn.compact
    def __call__(self, x, codes, *, train: bool):
        return instance_norm(jnp.concatenate([x, resized(codes, x.shape[1:3])], -1))


class Block(nn.Module):
    """x [B, h, w, C], codes -> [B, h, w, features]: normalisation, LeakyReLU and 3x3 convolution, twice."""

    features: int
    hidden: int = 128
    modulation: Literal["spade", "concat"] = "spade"
    norm: Literal["batch", "instance"] = "batch"
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, x, codes, *, train: bool):
        def normalised(x):
            if self.modulation == "concat":
                return Joined()(x, codes, train=train)
            return Spade(self.hidden, self.norm, self.dtype, self.axis)(x, codes, train=train)

        def conv(x, features, size=3, bias=True):
            kind, options = SpectralConv, {"kernel_init": _weights, "dtype": self.dtype, "use_bias": bias}
            return kind(features, (size, size), **options)(x)

        y = conv(nn.leaky_relu(normalised(x), 0.2), min(x.shape[-1], self.features))
        y = conv(nn.leaky_relu(normalised(y), 0.2), self.features)
        return y + (x if x.shape[-1] == self.features else conv(normalised(x), self.features, 1, bias=False))


class Encoder(nn.Module):
    """Images [B, H, W, C] -> (means, logarithms of variances) f32[B, latent] of their styles: convolutions
    that halve the size down to 4x4."""

    latent: int = 256
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        x, level = x.astype(self.dtype), 0
        while min(x.shape[1:3]) > 4:
            x = x if level == 0 else nn.leaky_relu(x, 0.2)
            width = self.width * min(2**level, 8)
            options = {"use_bias": False, "kernel_init": _weights, "dtype": self.dtype}
            x = SpectralConv(width, (3, 3), (2, 2), ((1, 1), (1, 1)), **options)(x)
            x, level = instance_norm(x), level + 1
        x = nn.leaky_relu(x, 0.2).reshape(len(x), -1)
        of = lambda name: nn.Dense(self.latent, name=name, kernel_init=_weights)(x.astype(jnp.float32))  # noqa: E731
        return of("mean"), of("log_variance")


class Generator(nn.Module):
    """z [B, latent], label map [B, H, W, 1 or 2] -> images f32[B, H, W, channels] in (-1, 1), and in training
    with an encoder (images, (means, logarithms of variances)).

    From a map of the size / 2^depth blocks double it; the first three have 2^(depth - 1) times the width, and
    each later one half as many. Without an encoder it begins with the label map at that size and z is not
    used; with one with a style z, which in training is drawn around that of the real image.

    Raises:
      ValueError: if a side is no multiple of 2^depth.
    """

    labels: int
    width: int = 64
    depth: int = 5
    channels: int = 3
    hidden: int = 128
    modulation: Literal["spade", "concat"] = "spade"
    norm: Literal["batch", "instance"] = "batch"
    encoder: bool = False
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, z, image, real=None, *, train: bool):
        if any(side % 2**self.depth for side in image.shape[1:3]):
            sides = "x".join(map(str, image.shape[1:3]))
            by = 2**self.depth
            raise ValueError(
                f"a generator of {self.depth} doublings takes sides that are multiples of {by}, not {sides}"
            )
        of, style = codes(image, self.labels).astype(self.dtype), None
        h, w = (side // 2**self.depth for side in image.shape[1:3])
        top = self.width << (self.depth - 1)
        if self.encoder:
            if real is not None:
                style = Encoder(z.shape[-1], self.width, self.dtype, name="encoder")(real)
                z = style[0] + jnp.exp(style[1] / 2) * z
            x = nn.Dense(h * w * top, kernel_init=_weights, dtype=self.dtype)(z).reshape(-1, h, w, top)
        else:
            x = Conv(top, (3, 3), kernel_init=_weights, dtype=self.dtype)(resized(of, (h, w)))
        widths = [top] * 3 + [top >> level for level in range(1, self.depth)]
        options = (self.hidden, self.modulation, self.norm, self.dtype, self.axis)
        for i, width in enumerate(widths):
            x = x if i in (0, 2) else x.repeat(2, 1).repeat(2, 2)
            x = Block(width, *options)(x, of, train=train)
        x = Conv(self.channels, (3, 3), kernel_init=_weights, dtype=self.dtype)(nn.leaky_relu(x, 0.2))
        x = jnp.tanh(x.astype(jnp.float32))
        return x if style is None else (x, style)


def divergence(style):
    """Of normal distributions (means, logarithms of variances) [B, n] from the standard one, in nats, [B]."""
    mean, log_variance = style
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance).sum(-1)
