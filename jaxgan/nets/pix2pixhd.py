"""The generator of pix2pixHD (Wang et al. 2018, section 3.2): a global network at half the size, and an
enhancer around it; the discriminator is that of `jaxgan.nets.multiscale`. Layers, sizes and counts of weights
are those of the authors' code in PyTorch.
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nets.cyclegan import narrowed, pictured, residual, widened
from jaxgan.nets.multiscale import halved
from jaxgan.nn.label_map import codes

GLOBAL, ENHANCER = ("whole", "whole_image"), ("enhancer", "image")  # which parameters are whose


class Global(nn.Module):
    """x [B, H, W, C] -> maps [B, H, W, width], made at H / 2^levels."""

    width: int = 64
    levels: int = 4
    blocks: int = 9

    @nn.compact
    def __call__(self, x):
        x = narrowed(x, self.width, self.levels)
        for _ in range(self.blocks):
            x = residual(x)
        return widened(x, self.width, self.levels)


class Enhancer(nn.Module):
    """x [B, H, W, C], the global network's maps [B, H / 2, W / 2, 2 width] -> maps [B, H, W, width]."""

    width: int = 32
    blocks: int = 3

    @nn.compact
    def __call__(self, x, maps):
        x = narrowed(x, self.width, 1) + maps
        for _ in range(self.blocks):
            x = residual(x)
        return widened(x, self.width, 1)


class Picture(nn.Module):
    """Maps [B, H, W, C] -> images f32[B, H, W, channels] in (-1, 1)."""

    channels: int = 3

    @nn.compact
    def __call__(self, x):
        return pictured(x, self.channels)


class Generator(nn.Module):
    """z, which is not used, label map [B, H, W, 1 or 2] or image [B, H, W, C] -> f32[B, H, W, channels] in
    (-1, 1).

    In training the `coarse` one, of the same parameters, answers by the global network alone at half the
    size. What is sampled is that, its pixels doubled, until the enhancer was trained for a step, as the
    collection "phase" has it.

    Raises:
      ValueError: if a side is no multiple of 2^(levels + 1).
    """

    width: int = 32  # of the enhancer; the global network's is twice as much
    levels: int = 4
    blocks: int = 9
    enhancer_blocks: int = 3
    channels: int = 3
    labels: int | None = None  # of the label map; None: it is given an image
    coarse: bool = False
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.whole = Global(2 * self.width, self.levels, self.blocks)
        self.whole_image = Picture(self.channels)
        self.enhancer = Enhancer(self.width, self.enhancer_blocks)
        self.image = Picture(self.channels)
        self.enhanced = self.variable("phase", "enhanced", jnp.zeros, ())

    def __call__(self, z, image, *, train: bool):
        by = 2 ** (self.levels + 1)
        if any(side % by for side in image.shape[1:3]):
            sides = "x".join(map(str, image.shape[1:3]))
            raise ValueError(f"this generator takes sides that are multiples of {by}, not {sides}")
        x = (image if self.labels is None else codes(image, self.labels)).astype(self.dtype)
        maps = self.whole(halved(x))
        if self.coarse and train:
            return self.whole_image(maps)
        answer = self.image(self.enhancer(x, maps))
        if not train or self.is_initializing():
            coarse = self.whole_image(maps).repeat(2, 1).repeat(2, 2)
            return jnp.where(self.enhanced.value > 0, answer, coarse)
        if self.is_mutable_collection("phase"):
            self.enhanced.value = jnp.ones(())
        return answer
