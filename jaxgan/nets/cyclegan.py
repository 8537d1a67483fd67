"""The generator of CycleGAN (Zhu et al. 2017, appendix 7.2), after Johnson et al. 2016; its discriminator is
that of `jaxgan.nets.pix2pix`. Layers, sizes and counts of weights are those of the authors' code in PyTorch.
"""

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv, ConvTranspose
from jaxgan.nn.norm import instance_norm

_weights = nn.initializers.normal(0.02)


def reflected(x, by: int):
    """x [B, H, W, C] with its border mirrored outwards, the border's own pixels not repeated,
    [B, H + 2 by, W + 2 by, C]."""
    return jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)), mode="reflect")


def _conv(x, features: int, size: int, stride: int = 1, kind=Conv):
    # PyTorch's padding of 1, and of 1 on one side more the other way: SAME is the mirror image of both.
    halves, doubles = ((1, 1), (1, 1)), ((1, 2), (1, 2))
    padding = "VALID" if stride == 1 else halves if issubclass(kind, nn.Conv) else doubles
    options = {"dtype": x.dtype, "kernel_init": _weights}
    return kind(features, (size, size), (stride, stride), padding, **options)(x)


def narrowed(x, width: int, levels: int):
    """x [B, H, W, C] -> [B, h, w, 2^levels width]: 7x7, and so many halvings; called in a network's own."""
    x = nn.relu(instance_norm(_conv(reflected(x, 3), width, 7)))
    for level in range(1, levels + 1):
        x = nn.relu(instance_norm(_conv(x, width << level, 3, 2)))
    return x


def residual(x):
    """x [B, h, w, C] -> the same: a block of two 3x3 convolutions beside x; called in a network's own."""
    y = nn.relu(instance_norm(_conv(reflected(x, 1), x.shape[-1], 3)))
    return x + instance_norm(_conv(reflected(y, 1), x.shape[-1], 3))


def widened(x, width: int, levels: int):
    """x [B, h, w, C] -> [B, H, W, width]: so many doublings; called in a network's own."""
    for level in reversed(range(levels)):
        x = nn.relu(instance_norm(_conv(x, width << level, 3, 2, ConvTranspose)))
    return x


def pictured(x, channels: int):
    """x [B, H, W, C] -> images f32[B, H, W, channels] in (-1, 1): 7x7; called in a network's own."""
    return jnp.tanh(_conv(reflected(x, 3), channels, 7).astype(jnp.float32))


class Generator(nn.Module):
    """Images [B, H, W, C], their sides multiples of 4 -> images f32[B, H, W, channels] in (-1, 1).

    7x7, two halvings, residual blocks, two doublings, 7x7; nine blocks for 256 pixels, six for 128.
    """

    width: int = 64
    blocks: int = 9
    channels: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image):
        if any(side % 4 for side in image.shape[1:3]):
            sides = "x".join(map(str, image.shape[1:3]))
            raise ValueError(f"CycleGAN's generator takes sides that are multiples of 4, not {sides}")
        x = narrowed(image.astype(self.dtype), self.width, 2)
        for _ in range(self.blocks):
            x = residual(x)
        return pictured(widened(x, self.width, 2), self.channels)
