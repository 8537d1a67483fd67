"""The residual networks of BigGAN (Brock, Donahue and Simonyan 2019, appendix B), at 8 to 256 pixels.

G: a chunk of z -> 4x4 -> blocks that double the size -> batch norm, ReLU, 3x3 convolution, tanh. Each
block's batch norms take their gains and biases from the class's embedding, which all share, beside a chunk of
z that is the block's own. D: blocks that halve the size and some that keep it, ReLU, the sum over pixels, and
the head of the projection discriminator. Self-attention follows the maps of one size in both. Weights begin
orthogonal.

Up to 32 pixels all maps have the same width, as SNGAN's; above, the authors' code has its own at each size.
Without classes and chunks G is SAGAN's where it has attention (Zhang et al. 2019), and SNGAN's otherwise.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.attention import SelfAttention
from jaxgan.nn.conditional import Projection
from jaxgan.nn.conv import Conv
from jaxgan.nn.norm import ModulatedBatchNorm
from jaxgan.nn.spectral import SpectralConv, SpectralDense

# Widths by the image's size: of G's maps from 4x4 on, and of D's after each of its blocks.
_G = {64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1)}
_D = {64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16), 256: (1, 2, 4, 8, 8, 16, 16)}
_SMALL = (8, 16, 32)
SIZES = (*_SMALL, *_G)

_weights = nn.initializers.orthogonal()


def _check(image_size: int) -> None:
    if image_size not in SIZES:
        raise ValueError(f"BigGAN makes images of {SIZES} pixels, not {image_size}")


def g_widths(image_size: int) -> tuple[int, ...]:
    """The widths of G's maps of 4, 8, ... pixels, in multiples of its own.

    Raises:
      ValueError: if there is no such G.
    """
    _check(image_size)
    return _G.get(image_size, (4,) * (image_size.bit_length() - 2))


def d_blocks(image_size: int) -> tuple[tuple[int, bool], ...]:
    """D's blocks: (width in multiples of its own, whether it halves the size).

    Raises:
      ValueError: if there is no such D.
    """
    _check(image_size)
    if image_size in _D:
        return tuple((width, i < len(_D[image_size]) - 1) for i, width in enumerate(_D[image_size]))
    halves = max(1, image_size.bit_length() - 4)  # down to 8x8; of 8 to 4x4
    return tuple((4, i < halves) for i in range(halves + 2))


def _double(x):
    return x.repeat(2, 1).repeat(2, 2)


def _halve(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _attend(size: int, spectral: bool, dtype) -> Callable:
    """x -> x, attended to where its side is `size`."""
    attention = SelfAttention(spectral, dtype, _weights, name="self_attention") if size else None
    return lambda x: attention(x) if x.shape[1] == size else x


class UpBlock(nn.Module):
    """x [B, H, W, C], code [B, K] or None -> [B, 2H, 2W, features]: batch norm by the code, ReLU and 3x3
    convolution, twice."""

    features: int
    spectral: bool = True
    residual_gain: bool = True
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, x, code, *, train: bool):
        conv = partial(SpectralConv if self.spectral else Conv, self.features, dtype=self.dtype)

        def norm(x, name):
            options = {"dtype": self.dtype, "axis_name": self.axis, "name": name}
            if code is None:
                return nn.BatchNorm(not train, momentum=0.9, **options)(x)
            layer = partial(ModulatedBatchNorm, self.residual_gain, self.spectral, kernel_init=_weights)
            return layer(**options)(x, code, train=train)

        y = _double(nn.relu(norm(x, "norm_0")))
        y = conv((3, 3), kernel_init=_weights, name="conv_0")(y)
        y = conv((3, 3), kernel_init=_weights, name="conv_1")(nn.relu(norm(y, "norm_1")))
        return y + _double(conv((1, 1), kernel_init=_weights, name="shortcut")(x))


class Generator(nn.Module):
    """z [B, latent], label i32[B] where there are classes -> images f32[B, S, S, channels] in (-1, 1).

    Attributes:
      width: the paper's channel multiplier, 64 or 96.
      n_classes: 0 makes a G that is given no label.
      shared: numbers in the embedding of a class; 0 gives each batch norm an embedding of its own.
      hierarchical: each block has a chunk of z to itself, and so the first layer; else that has all of z.
      attention: the size of the map that self-attention follows; 0 is none.
      spectral: normalises all kernels, and not the embedding.
      residual_gain: the gain of a conditional batch norm is 1 + W c; without, it is W c.

    Raises:
      ValueError: if there is no such size, of images or of maps, or z is not cut into equal chunks.
    """

    image_size: int = 32
    width: int = 64
    channels: int = 3
    n_classes: int = 0
    shared: int = 128
    hierarchical: bool = True
    attention: int = 0
    spectral: bool = True
    residual_gain: bool = True
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    @nn.compact
    def __call__(self, z, label=None, *, train: bool):
        first, *widths = (self.width * width for width in g_widths(self.image_size))
        if self.attention and self.attention not in (sizes := [4 << i for i in range(len(widths) + 1)]):
            raise ValueError(f"G has maps of {sizes} pixels, and none of {self.attention} to attend to")
        pieces = len(widths) + 1 if self.hierarchical else 1
        if z.shape[-1] % pieces:
            raise ValueError(f"z of {z.shape[-1]} numbers is not cut into {pieces} equal chunks")
        chunk, *chunks = jnp.split(z.astype(self.dtype), pieces, -1)
        known = [self.embedded(label)] if self.n_classes else []
        codes = [[*known, x] for x in chunks] or [known] * len(widths)
        conv, dense = (SpectralConv, SpectralDense) if self.spectral else (Conv, nn.Dense)
        attend = _attend(self.attention, self.spectral, self.dtype)
        x = dense(16 * first, kernel_init=_weights, dtype=self.dtype, name="first")(chunk)
        x = attend(x.reshape(-1, 4, 4, first))
        for i, (width, code) in enumerate(zip(widths, codes, strict=True)):
            code = jnp.concatenate(code, -1) if code else None
            options = (self.spectral, self.residual_gain, self.dtype, self.axis)
            x = attend(UpBlock(width, *options, name=f"block_{i}")(x, code, train=train))
        x = nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype, axis_name=self.axis, name="norm")(x)
        x = conv(self.channels, (3, 3), kernel_init=_weights, dtype=self.dtype, name="last")(nn.relu(x))
        return jnp.tanh(x.astype(jnp.float32))

    def embedded(self, label):
        """What the batch norms are given of the label, [B, K]."""
        if not self.shared:
            return jax.nn.one_hot(label, self.n_classes, dtype=self.dtype)
        options = {"embedding_init": _weights, "dtype": self.dtype, "name": "embedding"}
        return nn.Embed(self.n_classes, self.shared, **options)(label)


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
        conv = partial(SpectralConv, self.features, kernel_init=_weights, dtype=self.dtype)
        y = conv((3, 3), name="conv_0")(x if self.first else nn.relu(x))
        y = conv((3, 3), name="conv_1")(nn.relu(y))
        if not self.halve:
            return y + (x if x.shape[-1] == self.features else conv((1, 1), name="shortcut")(x))
        x = _halve(x) if self.first else x
        x = conv((1, 1), name="shortcut")(x)
        return _halve(y) + (x if self.first else _halve(x))


class Discriminator(nn.Module):
    """Images [B, S, S, C], label i32[B] where there are classes -> logits f32[B]; all kernels are spectrally
    normalised. The attributes are G's.

    Raises:
      ValueError: if there is no such size, of images or of maps.
    """

    width: int = 64
    n_classes: int = 0
    attention: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, label=None, *, train: bool):
        x = x.astype(self.dtype)
        blocks = d_blocks(x.shape[1])
        sizes = [x.shape[1] >> i for i in range(1, 1 + sum(halve for _, halve in blocks))]
        if self.attention and self.attention not in sizes:
            raise ValueError(f"D has maps of {sizes} pixels, and none of {self.attention} to attend to")
        attend = _attend(self.attention, True, self.dtype)
        for i, (width, halve) in enumerate(blocks):
            x = DownBlock(self.width * width, halve, i == 0, self.dtype, name=f"block_{i}")(x)
            x = attend(x) if halve else x
        x = nn.relu(x).sum((1, 2))
        if self.n_classes:
            options = {"kernel_init": _weights, "embedding_init": _weights, "dtype": self.dtype}
            return Projection(self.n_classes, spectral=True, **options, name="head")(x, label)
        x = SpectralDense(1, kernel_init=_weights, dtype=self.dtype, name="head")(x)
        return x[:, 0].astype(jnp.float32)
