"""Self-attention over the pixels of a feature map."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv
from jaxgan.nn.spectral import SpectralConv


def _pool(x):
    """The largest of each 2x2 pixels: [B, H, W, C] -> [B, H W / 4, C]."""
    b, h, w, c = x.shape
    # In a scan on a CPU ten times as fast, with its gradient, as `nn.max_pool` (jaxlib 0.10.2).
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4)).reshape(b, -1, c)


class SelfAttention(nn.Module):
    """x [B, H, W, C] -> [B, H, W, C], x + gamma v(o), where o is h(x) averaged by attention
    (SAGAN; Zhang et al. 2019, section 3).

    Query pixel j attends to pixel i by the softmax over i of <f(x_i), g(x_j)>, unscaled. All four
    projections are 1x1 convolutions without bias: f and g to C / 8 channels, h to C / 2, v back to C.
    As in the authors' code, keys and values are max-pooled, 2x2. gamma starts at 0: at first the layer
    is the identity. `spectral` normalises the projections, as SAGAN's are in both networks.

    Raises:
      ValueError: if x is not [B, H, W, C] with even H and W and a multiple of 8 channels.
    """

    spectral: bool = False
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x):
        if x.ndim != 4 or any(n % d for n, d in zip(x.shape[1:], (2, 2, 8), strict=True)):
            raise ValueError(f"SelfAttention needs even sizes and a multiple of 8 channels, not {x.shape}")
        layer = SpectralConv if self.spectral else Conv
        options = {"use_bias": False, "dtype": self.dtype, "kernel_init": self.kernel_init}
        conv = partial(layer, kernel_size=(1, 1), **options)
        x = x.astype(self.dtype)
        b, _, _, c = x.shape
        key, value = _pool(conv(c // 8, name="f")(x)), _pool(conv(c // 2, name="h")(x))
        query = conv(c // 8, name="g")(x).reshape(b, -1, c // 8)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        scores = jnp.einsum("bqc,bkc->bqk", query, key, preferred_element_type=wide)
        y = jnp.einsum("bqk,bkc->bqc", jax.nn.softmax(scores).astype(self.dtype), value)
        y = conv(c, name="v")(y.reshape(*x.shape[:3], c // 2))
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return x + gamma.astype(self.dtype) * y
