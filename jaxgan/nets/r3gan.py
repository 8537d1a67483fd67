"""The networks of R3GAN (Huang et al. 2024, section 4 and config E; facts from the authors' code).

G: z times a learned basis of 4x4, then at each size residual blocks; from size to size a doubling and, where
the width changes, a 1x1 convolution before it. The image is a 1x1 convolution of the last. D is the mirror:
blocks, halving, and at 4x4 a sum over a learned basis and a linear layer.

A block is x + W3 f(W2 f(W1 x)): 1x1 to twice the channels, 3x3 in groups of 16 channels, 1x1 back; f adds a
bias and is LeakyReLU(0.2). Nothing is normalised. As in Fixup (Zhang, Dauphin and Ma 2019), W3 starts at 0,
and W1 and W2 at He's scale times L^(-1/4) for L blocks in the network. Sizes change by the filter
[1, 3, 3, 1], with zeros beyond the edges.
"""

import math

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv
from jaxgan.nn.resample import double, halve

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # He's, of this slope

_unit = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


class Block(nn.Module):
    """x [B, H, W, C] -> the same shape; at first x itself.

    Raises:
      ValueError: if 2C is no multiple of `group`, and more.
    """

    depth: int  # blocks in the network
    group: int = 16  # channels of a group; all of them, where they are fewer
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        inner = 2 * x.shape[-1]
        groups = max(1, inner // self.group)
        if inner % groups or inner // groups > self.group:
            raise ValueError(
                f"R3GAN: a width of {x.shape[-1]} has no groups of {self.group} of its {inner} channels"
            )
        scale = nn.initializers.variance_scaling(GAIN**2 / math.sqrt(self.depth), "fan_in", "normal")
        y = Conv(inner, (1, 1), dtype=self.dtype, kernel_init=scale)(x)
        y = nn.leaky_relu(y, SLOPE)
        y = Conv(inner, (3, 3), feature_group_count=groups, dtype=self.dtype, kernel_init=scale)(y)
        y = nn.leaky_relu(y, SLOPE)
        last = Conv(x.shape[-1], (1, 1), use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.zeros)
        return x + last(y)


class _Net(nn.Module):
    """What both networks have. `dtype` is of all sizes but 4x4, which is float32, or wider."""

    widths: tuple[int, ...] = (768,) * 4  # channels at 4x4, 8x8, ... to the image's size
    blocks: int = 2  # at each size
    group: int = 16
    n_classes: int | None = None
    dtype: jnp.dtype = jnp.float32

    def level_type(self, level: int):
        return jnp.promote_types(self.dtype, jnp.float32) if level == 0 else self.dtype

    def stay(self, x, level: int):
        """The blocks of a level."""
        for _ in range(self.blocks):
            x = Block(self.blocks * len(self.widths), self.group, self.level_type(level))(x)
        return x

    def pointwise(self, x, features: int, dtype):
        return Conv(features, (1, 1), use_bias=False, dtype=dtype, kernel_init=_unit)(x)

    def embed(self, label, features: int, variance: float):
        """A vector of each class: a linear layer of its one-hot code."""
        init = nn.initializers.normal(math.sqrt(variance / self.n_classes))
        return nn.Embed(
            self.n_classes, features, embedding_init=init, dtype=self.level_type(0), name="embed"
        )(label)


class Generator(_Net):
    """z [B, latent], label i32[B] where conditional -> images f32[B, S, S, channels], S = 2 * 2^len(widths).

    A label's vector, as long as z, is appended to z. There is no last nonlinearity: levels may leave [-1, 1].
    """

    channels: int = 3

    @nn.compact
    def __call__(self, z, label=None):
        wide = self.level_type(0)
        z = z.astype(wide)
        if self.n_classes is not None:
            z = jnp.concatenate([z, self.embed(label, z.shape[-1], 1.0)], -1)
        first = self.widths[0]
        basis = self.param("basis", nn.initializers.normal(1.0), (1, 4, 4, first))
        x = basis * nn.Dense(first, use_bias=False, dtype=wide, kernel_init=_unit)(z)[:, None, None]
        for level, width in enumerate(self.widths):
            dtype = self.level_type(level)
            x = x.astype(dtype)
            if width != x.shape[-1]:
                x = self.pointwise(x, width, dtype)
            x = self.stay(double(x) if level else x, level)
        return self.pointwise(x, self.channels, x.dtype).astype(wide)


class Discriminator(_Net):
    """Images [B, S, S, C], label i32[B] where conditional -> logits f32[B].

    Where conditional, the last layer makes a vector, and the logit is its product with the label's.

    Raises:
      ValueError: if S is not 2 * 2^len(widths).
    """

    @nn.compact
    def __call__(self, x, label=None):
        size, last = 2 << len(self.widths), len(self.widths) - 1
        if x.shape[1:3] != (size, size):
            raise ValueError(
                f"R3GAN: {last + 1} widths are of images of {size} pixels, not of {x.shape[1:3]}"
            )
        x = self.pointwise(x.astype(self.level_type(last)), self.widths[last], self.level_type(last))
        for level in range(last, -1, -1):
            x = self.stay(x.astype(self.level_type(level)), level)
            if level:
                x = halve(x)
                if self.widths[level - 1] != x.shape[-1]:
                    x = self.pointwise(x, self.widths[level - 1], x.dtype)
        width = x.shape[-1]
        basis = self.param("basis", nn.initializers.normal(0.25), (1, 4, 4, width))
        x = (basis * x).sum((1, 2))
        features = 1 if self.n_classes is None else width
        x = nn.Dense(features, use_bias=False, dtype=x.dtype, kernel_init=_unit)(x)
        return x[:, 0] if self.n_classes is None else (x * self.embed(label, width, 1 / width)).sum(-1)
