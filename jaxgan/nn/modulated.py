"""Modulated convolution (StyleGAN2; Karras et al. 2020, section 2.2).

A style [B, C] scales the kernel's input channels, for each example its own, and demodulation then scales the
kernel's output channels to unit norm: of inputs that are independent and of unit variance, outputs are too.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.nn.conv import conv, conv_transpose
from jaxgan.nn.precision import wide
from jaxgan.nn.resample import fir

Form = Literal["scaled", "grouped"]


def _plain(x, kernel):
    return conv(x, kernel, (1, 1), "SAME")


def _doubled(x, kernel):
    """The kernel slid over x with zeros between its pixels, then the filter; only then is it cut to size, so
    that the order of the two makes no difference."""
    k = kernel.shape[0]
    y = conv_transpose(x, kernel, (2, 2), ((k - 1, k - 1),) * 2)
    return 4 * fir(y, (2 - k // 2, 3 - (k - k // 2)))


def modulated_conv(x, kernel, style, *, demodulate: bool = True, double: bool = False, form: Form = "scaled"):
    """x [B, H, W, C], kernel [k, k, C, O], style [B, C] -> [B, H, W, O].

    Both forms compute the same. "scaled" scales the inputs, then the outputs of one convolution of the whole
    batch; "grouped" has a kernel for each example, as groups of channels of one convolution. Where a batch
    is large against the image the first is faster; XLA:CPU has no fast grouped convolution.

    Args:
      demodulate: whether outputs are divided by sqrt(sum over k, k and C of (style kernel)^2 + 1e-8).
      double: whether the image is first doubled in size, by zeros and the filter of `resample`: [B, 2H, 2W,
      O].

    Raises:
      ValueError: if the form is unknown, or the style is not [B, C].
    """
    if style.shape != (x.shape[0], x.shape[-1]):
        raise ValueError(f"modulated_conv: x {x.shape} takes a style [B, C], not {style.shape}")
    slide = _doubled if double else _plain
    # Demodulation sums in float32 whatever the arithmetic.
    k, s = wide(kernel), wide(style)
    if form == "scaled":
        y = slide(x * style[:, None, None], kernel)
        if not demodulate:
            return y
        size = jnp.matmul(jnp.square(s), jnp.square(k).sum((0, 1)), precision="highest")
        return y * lax.rsqrt(size + 1e-8).astype(y.dtype)[:, None, None]
    if form != "grouped":
        raise ValueError(f"modulated_conv: the form is scaled or grouped, not {form!r}")
    kernels = k[None] * s[:, None, None, :, None]
    if demodulate:
        kernels = kernels * lax.rsqrt(jnp.square(kernels).sum((1, 2, 3), keepdims=True) + 1e-8)
    return jax.vmap(lambda x, w: slide(x[None], w)[0])(x, kernels.astype(x.dtype))
