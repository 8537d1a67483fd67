"""Normalisations that linen does not have."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan.nn.precision import wide
from jaxgan.nn.spectral import SpectralDense


def pixel_norm(x, epsilon: float = 1e-8):
    """x [..., C] divided by the root of its mean square over C (Karras et al. 2018, section 4.2).

    It has no parameters, and is also what ProGAN and StyleGAN do to z [B, latent].
    """
    y = wide(x)
    return (y * lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + epsilon)).astype(x.dtype)


def _bare(norm, train: bool) -> dict:
    """Of a batch normalisation within another, which has the gain and the bias."""
    own = {name: getattr(norm, name) for name in ("momentum", "epsilon", "dtype", "axis_name")}
    return own | {"use_running_average": not train, "use_scale": False, "use_bias": False}


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
        y = nn.BatchNorm(**_bare(self, train))(x)
        embed = partial(nn.Embed, self.n_classes, x.shape[-1], dtype=self.dtype)
        scale = embed(embedding_init=nn.initializers.ones, name="scale")(label)
        bias = embed(embedding_init=nn.initializers.zeros, name="bias")(label)
        per_example = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        return y * scale.reshape(per_example) + bias.reshape(per_example)


class ModulatedBatchNorm(nn.Module):
    """x [B, ..., C], code [B, K] -> [B, ..., C]: batch normalisation with a gain of 1 + W c and a bias of V c
    for each example's code c (Brock et al. 2019, section 3.1), W and V without biases of their own.

    The statistics are the whole batch's, and `axis_name` and `momentum` are `flax.linen.BatchNorm`'s. A gain
    of W c alone, `residual=False`, has no 1 to begin about. `spectral` normalises W and V.

    Raises:
      ValueError: if there is not one code an example.
    """

    residual: bool = True
    spectral: bool = False
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None
    kernel_init: Callable = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x, code, *, train: bool):
        if code.ndim != 2 or code.shape[0] != x.shape[0]:
            raise ValueError(f"ModulatedBatchNorm: x {x.shape} needs codes [B, K], not {code.shape}")
        y = nn.BatchNorm(**_bare(self, train))(x)

        def of(name):
            layer = SpectralDense if self.spectral else nn.Dense
            options = {"use_bias": False, "kernel_init": self.kernel_init, "dtype": self.dtype, "name": name}
            return layer(x.shape[-1], **options)(code).reshape(-1, *(1,) * (x.ndim - 2), x.shape[-1])

        return y * (of("gain") + (1 if self.residual else 0)) + of("bias")


def _over(x, axes: tuple[int, ...], axis_name: str | None, epsilon: float):
    """x less its mean over axes, by its deviation there; over devices too where there is their axis."""
    y = wide(x)
    mean = y.mean(axes, keepdims=True)
    mean = mean if axis_name is None else lax.pmean(mean, axis_name)
    apart = y - mean
    # Without `keepdims` XLA finds this equal to what a derivative makes of it: a network that both players
    # run at one state is run once.
    variance = jnp.square(apart).mean(axes)
    variance = variance if axis_name is None else lax.pmean(variance, axis_name)
    return (apart * jnp.expand_dims(lax.rsqrt(variance + epsilon), axes)).astype(x.dtype)


def instance_norm(x, epsilon: float = 1e-5):
    """x [B, ..., C], each channel of each example less its mean, by its deviation (Ulyanov et al. 2016).

    It has no parameters, as in the code of pix2pix and CycleGAN. At a single place it is 0, whatever x is.
    """
    return _over(x, tuple(range(1, x.ndim - 1)), None, epsilon)


class UnkeptBatchNorm(nn.Module):
    """x [B, ..., C] -> [B, ..., C]: batch normalisation that keeps no running statistics.

    In training the statistics are the batch's, over devices too; in sampling each example's own. So pix2pix
    was trained and tested (Isola et al. 2017, section 3.4), with a batch of one in its tests: the published
    pictures are not those of running statistics, which blur them.
    """

    epsilon: float = 1e-5
    axis_name: str | None = None
    scale_init: Callable = nn.initializers.ones

    @nn.compact
    def __call__(self, x, *, train: bool):
        first = 0 if train else 1
        y = _over(x, tuple(range(first, x.ndim - 1)), self.axis_name if train else None, self.epsilon)
        some = (*(1,) * (x.ndim - 1), x.shape[-1])
        scale = self.param("scale", self.scale_init, some[-1:]).reshape(some)
        bias = self.param("bias", nn.initializers.zeros, some[-1:]).reshape(some)
        return y * scale.astype(x.dtype) + bias.astype(x.dtype)
