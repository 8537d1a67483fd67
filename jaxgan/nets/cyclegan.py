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

        def conv(x, features, size, stride=1, kind=Conv):
            padding = "SAME" if stride == 2 else "VALID"
            options = {"dtype": self.dtype, "kernel_init": _weights}
            return kind(features, (size, size), (stride, stride), padding, **options)(x)

        x = nn.relu(instance_norm(conv(reflected(image.astype(self.dtype), 3), self.width, 7)))
        for times in (2, 4):
            x = nn.relu(instance_norm(conv(x, times * self.width, 3, 2)))
        for _ in range(self.blocks):
            y = nn.relu(instance_norm(conv(reflected(x, 1), 4 * self.width, 3)))
            x = x + instance_norm(conv(reflected(y, 1), 4 * self.width, 3))
        for times in (2, 1):
            x = nn.relu(instance_norm(conv(x, times * self.width, 3, 2, ConvTranspose)))
        x = conv(reflected(x, 3), self.channels, 7)
        return jnp.tanh(x.astype(jnp.float32))
