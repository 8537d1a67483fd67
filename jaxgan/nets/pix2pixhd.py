"""The generator of pix2pixHD (Wang et al. 2018, sections 3.2 and 3.4): a global network at half the size, and
an enhancer around it, with an encoder of instances' features if one is wanted; the discriminator is that of
`jaxgan.nets.multiscale`. Layers, sizes and counts of weights are those of the authors' code in PyTorch.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan.nets.cyclegan import narrowed, pictured, residual, widened
from jaxgan.nets.multiscale import halved
from jaxgan.nn.label_map import INSTANCES, codes, instance_means, numbers

GLOBAL, ENHANCER = ("encoder", "whole", "whole_image"), ("enhancer", "image")  # which parameters are whose
KEPT = 0.99  # of what is known of labels' features, with each step


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


class Encoder(nn.Module):
    """Images [B, H, W, C] -> f32[B, H, W, features] in (-1, 1), to be averaged over each instance."""

    features: int = 3
    width: int = 16
    levels: int = 4

    @nn.compact
    def __call__(self, x):
        return pictured(widened(narrowed(x, self.width, self.levels), self.width, self.levels), self.features)


class Generator(nn.Module):
    """z [B, INSTANCES * features], label map [B, H, W, 1 or 2] or image [B, H, W, C] -> images
    f32[B, H, W, channels] in (-1, 1).

    In training the `coarse` one, of the same parameters, answers by the global network alone at half the
    size. What is sampled is that, its pixels doubled, until the enhancer was trained for a step, as the
    collection "phase" has it.

    With features it is told what a thing looks like: in training by what an encoder makes of the real image,
    averaged over each instance; and else by z, numbers of each instance that are normal for its label, as the
    collection "styles" has its means and deviations. Here the authors draw one of ten clusters of each label.

    Raises:
      ValueError: if a side is no multiple of 2^(levels + 1); if there are features, and no label map with
        instances.
    """

    width: int = 32  # of the enhancer; the global network's is twice as much
    levels: int = 4
    blocks: int = 9
    enhancer_blocks: int = 3
    channels: int = 3
    labels: int | None = None  # of the label map; None: it is given an image
    features: int = 0  # of an instance
    coarse: bool = False
    dtype: jnp.dtype = jnp.float32
    axis: str | None = None

    def setup(self):
        self.whole = Global(2 * self.width, self.levels, self.blocks)
        self.whole_image = Picture(self.channels)
        self.enhancer = Enhancer(self.width, self.enhancer_blocks)
        self.image = Picture(self.channels)
        self.enhanced = self.variable("phase", "enhanced", jnp.zeros, ())
        if self.features:
            self.encoder = Encoder(self.features, self.width, self.levels)
            moments = self.labels, 1 + 2 * self.features  # of a label: how often, sums, and of squares
            self.styles = self.variable("styles", "moments", jnp.zeros, moments)

    def styled(self, z, image, real):
        """The features of each pixel's instance, f32[B, H, W, features]."""
        if self.labels is None or image.shape[-1] != 2:
            raise ValueError("features are of instances: they take a label map with these beside")
        label, instance = jnp.moveaxis(numbers(image), -1, 0)
        each = jax.vmap(lambda of, at: of[at])
        if real is None:
            n, total, squares = jnp.split(self.styles.value, [1, 1 + self.features], -1)
            mean, square = (jnp.where(n > 0, x / jnp.where(n > 0, n, 1), 0) for x in (total, squares))
            deviation = jnp.where(n > 0, jnp.sqrt(jnp.maximum(square - mean**2, 0)), 1)
            z = z.reshape(len(z), INSTANCES, self.features)
            return mean[label] + deviation[label] * each(z, instance)
        by = image.shape[1] // real.shape[1]
        found = each(instance_means(self.encoder(real), instance[:, ::by, ::by]), instance)
        if self.is_mutable_collection("styles") and not self.is_initializing():
            of = lax.stop_gradient(found).reshape(-1, self.features)
            of = jnp.concatenate([jnp.ones((len(of), 1)), of, of**2], -1)
            moments = jax.nn.one_hot(label.reshape(-1), self.labels).T @ of
            moments = moments if self.axis is None else lax.psum(moments, self.axis)
            self.styles.value = KEPT * self.styles.value + (1 - KEPT) * moments
        return found

    def __call__(self, z, image, real=None, *, train: bool):
        by = 2 ** (self.levels + 1)
        if any(side % by for side in image.shape[1:3]):
            sides = "x".join(map(str, image.shape[1:3]))
            raise ValueError(f"this generator takes sides that are multiples of {by}, not {sides}")
        x = (image if self.labels is None else codes(image, self.labels)).astype(self.dtype)
        if self.features:
            x = jnp.concatenate([x, self.styled(z, image, real).astype(self.dtype)], -1)
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
