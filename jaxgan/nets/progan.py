"""The networks of ProGAN (Karras et al. 2018), at 8 pixels and up by powers of two, which grow as they learn.

At first they make and judge images of 4x4; then the next level, of twice the size, is faded in and held for
a while, and so on. All levels' parameters are there from the start, and in one program: a step computes the
levels up to its own and no more, by `lax.switch`. Under `jax.vmap` (lanes) a switch is a select, and all are
computed.

G's images are of full size at every level, a lower one's pixels repeated, and D averages what it sees down to
its level's size. D's slope in an image is that of the full size, as in the authors' code.

Weights have an equalized learning rate, G normalises each pixel, and D is told how much the examples of a
group of four differ. A level has twice the channels of the next larger one, up to `most`.
"""

import math
from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.equalized import EqualizedConv, EqualizedDense
from jaxgan.nn.minibatch import MinibatchStd
from jaxgan.nn.norm import pixel_norm
from jaxgan.nn.precision import wide

_leaky = partial(nn.leaky_relu, negative_slope=0.2)


def levels(image_size: int) -> int:
    """How many levels there are, from 4x4 to the image's size.

    Raises:
      ValueError: if the size is no power of two, or below 8.
    """
    if image_size < 8 or image_size & (image_size - 1):
        raise ValueError(f"ProGAN makes images of 8, 16, 32, ... pixels, not {image_size}")
    return image_size.bit_length() - 2


def growth(images, stable: int, fade: int, levels: int):
    """The level after so many images, f32[] in [0, levels - 1]: k + alpha, where level k + 1 is mixed into
    level k by alpha.

    Each level is held for `stable` images, and then the next one is faded in over `fade`; the last is kept.

    Args:
      images: i32[], those that D has seen.
    """
    grown, more = jnp.divmod(images, stable + fade)
    alpha = jnp.maximum(more - stable, 0) / max(fade, 1)
    return jnp.minimum(grown + alpha, levels - 1).astype(jnp.float32)


def phase(level):
    """Which layers a level has, i32[]: 2k where level k is alone, 2k + 1 where the next is mixed into it."""
    return (jnp.floor(level) + jnp.ceil(level)).astype(jnp.int32)


def _enlarge(x, factor: int):
    """Each pixel of x [..., H, W, C] repeated."""
    return x if factor == 1 else x.repeat(factor, -3).repeat(factor, -2)


def _shrink(x, factor: int):
    """The means of squares of pixels of x [..., H, W, C]."""
    if factor == 1:
        return x
    *lead, h, w, c = x.shape
    return x.reshape(*lead, h // factor, factor, w // factor, factor, c).mean((-4, -2))


def _mixed(below, above, alpha):
    alpha = jnp.asarray(alpha, below.dtype)
    return (1 - alpha) * below + alpha * above


def shown(x, level):
    """Images [..., S, S, C] as D is shown real ones at a level: of full size, with the detail of the level's
    size, and of that above as far as it is faded in."""
    last = levels(x.shape[-2]) - 1
    weights = [jnp.maximum(0, 1 - jnp.abs(level - k)) for k in range(last + 1)]
    return sum(
        w * _enlarge(_shrink(x, 2 ** (last - k)), 2 ** (last - k)).astype(x.dtype)
        for k, w in enumerate(weights)
    )


class _Growing(nn.Module):
    """What both networks have: the step that they were last told, and the choice of levels by it."""

    image_size: int = 32
    width: int = 16  # channels next to the image
    most: int = 512  # of channels
    level: Callable | None = None  # step i32[] -> level f32[]; None: grown from the start
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        if self.level is not None:
            self.kept = self.variable("growth", "step", jnp.zeros, (), jnp.int32)

    @property
    def last(self) -> int:
        return levels(self.image_size) - 1

    def maps(self, k: int) -> int:
        """The channels of level k, below which is -1."""
        return min(self.width << (self.last - k), self.most)

    def at_level(self, layers: Callable, x, step):
        """layers(self, x, k, alpha), with level k mixed by alpha into the one below: those of the step, or of
        the last step told."""
        if self.level is None:
            return layers(self, x, self.last, 1.0)
        kept = self.kept
        if step is None:
            step = kept.value
        elif self.is_mutable_collection("growth"):
            kept.value = step
        level = self.level(step)
        k = jnp.ceil(level)
        branches = [lambda net, x, alpha, k=k: layers(net, x, k, alpha) for k in range(self.last + 1)]
        if self.is_initializing():
            return [branch(self, x, level) for branch in branches][-1]
        return nn.switch(k.astype(jnp.int32), branches, self, x, level - (k - 1))


class _Up(nn.Module):
    """x [B, H, W, C] -> [B, 2H, 2W, features]."""

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x):
        x = _enlarge(x, 2)
        for _ in range(2):
            x = pixel_norm(_leaky(EqualizedConv(self.features, (3, 3), dtype=self.dtype)(x)))
        return x


class _Down(nn.Module):
    """x [B, H, W, C] -> [B, H / 2, W / 2, features]."""

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x):
        x = _leaky(EqualizedConv(x.shape[-1], (3, 3), dtype=self.dtype)(x))
        x = _leaky(EqualizedConv(self.features, (3, 3), dtype=self.dtype)(x))
        return _shrink(x, 2)


class Generator(_Growing):
    """z [B, latent], normalised -> images f32[B, S, S, channels], of no bound.

    In training it is given `step` and keeps it, so that it samples at the level that it was trained at.
    """

    channels: int = 1

    def setup(self):
        super().setup()
        # The gain of the authors' code, which makes the first layer learn a quarter as fast.
        self.dense = EqualizedDense(16 * self.maps(0), gain=math.sqrt(2) / 4, dtype=self.dtype)
        self.conv = EqualizedConv(self.maps(0), (3, 3), dtype=self.dtype)
        self.up = [_Up(self.maps(k), self.dtype) for k in range(1, self.last + 1)]
        self.to_image = [
            EqualizedConv(self.channels, (1, 1), gain=1.0, dtype=self.dtype) for _ in range(self.last + 1)
        ]

    def image(self, x, k: int, alpha):
        """Level k's image of x [B, 4, 4, C], at full size."""
        for up in self.up[:k]:
            below, x = x, up(x)
        made = wide(self.to_image[k](x))
        if k > 0:
            before = wide(self.to_image[k - 1](below))
            made = _mixed(_enlarge(before, 2), made, alpha)
        return _enlarge(made, 2 ** (self.last - k))

    def __call__(self, z, *, step=None):
        x = self.dense(pixel_norm(z.astype(self.dtype)))
        x = pixel_norm(_leaky(x.reshape(-1, 4, 4, self.maps(0))))
        x = pixel_norm(_leaky(self.conv(x)))
        return self.at_level(Generator.image, x, step)


class Discriminator(_Growing):
    """Images [B, S, S, C] -> logits f32[B]; `step` is as the generator's.

    B is a multiple of four, or less.
    """

    axis: str | None = None

    def setup(self):
        super().setup()
        self.from_image = [
            EqualizedConv(self.maps(k), (1, 1), dtype=self.dtype) for k in range(self.last + 1)
        ]
        self.down = [_Down(self.maps(k - 1), self.dtype) for k in range(1, self.last + 1)]
        self.std = MinibatchStd(4, self.axis)
        self.conv = EqualizedConv(self.maps(0), (3, 3), dtype=self.dtype)
        self.dense = EqualizedDense(self.maps(-1), dtype=self.dtype)
        self.logit = EqualizedDense(1, gain=1.0, dtype=self.dtype)

    def features(self, x, k: int, alpha):
        """Those of level k, [B, 4, 4, C]."""
        x = _shrink(x, 2 ** (self.last - k))
        y = _leaky(self.from_image[k](x))
        if k > 0:
            before = _leaky(self.from_image[k - 1](_shrink(x, 2)))
            y = _mixed(before, self.down[k - 1](y), alpha)
        for down in reversed(self.down[: max(k - 1, 0)]):
            y = down(y)
        return y

    def __call__(self, x, *, step=None):
        x = self.at_level(Discriminator.features, x.astype(self.dtype), step)
        x = _leaky(self.conv(self.std(x)))
        x = _leaky(self.dense(x.reshape(x.shape[0], -1)))
        return wide(self.logit(x)[:, 0])
