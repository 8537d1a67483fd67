"""Normalisations that linen does not have."""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax import lax


def pixel_norm(x, epsilon: float = 1e-8):
    """x [..., C] divided by the root of its mean square over C (Karras et al. 2018, section 4.2).

    It has no parameters, and is also what ProGAN and StyleGAN do to z [B, latent].
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    scale = lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + epsilon)
    return (wide * scale).astype(x.dtype)


class ConditionalBatchNorm(nn.Module):
    """x [B, ..., C], label i32[B] in [0, n_classes) -> [B, ..., C]: batch normalisation with a scale
    and a bias of each class (Dumoulin, Shlens and Kudlur 2017, equation 5; Miyato and Koyama 2018).

    The statistics are the whole batch's, of all classes together, and `axis_name` and `momentum` are
    `flax.linen.BatchNorm`'s. The scales start at 1, the biases at 0. A label beyond the last class
    gives NaN; a negative one counts from the end.

    Raises:
      ValueError: if there is not one label an example, or the labels are not integers.
    """

    n_classes: int
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, label, *, train: bool):
        if label.shape != x.shape[:1]:
            raise ValueError(f"ConditionalBatchNorm: x {x.shape} needs labels [B], not {label.shape}")
        y = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            use_scale=False,
            use_bias=False,
            axis_name=self.axis_name,
        )(x)
        embed = partial(nn.Embed, self.n_classes, x.shape[-1], dtype=self.dtype)
        scale = embed(embedding_init=nn.initializers.ones, name="scale")(label)
        bias = embed(embedding_init=nn.initializers.zeros, name="bias")(label)
        per_example = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        return y * scale.reshape(per_example) + bias.reshape(per_example)
