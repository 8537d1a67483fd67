"""Heads of a discriminator that knows labels or codes: from features [B, F] to float32.

All are called (features, label), and most have no use for the label.
"""

from collections.abc import Callable
from itertools import accumulate

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.spectral import SpectralDense, SpectralEmbed


def _features(x, dtype):
    if x.ndim != 2:
        raise ValueError(f"a head takes features [B, F], not {x.shape}")
    return x.astype(dtype)


class Projection(nn.Module):
    """Features [B, F], label i32[B] in [0, n_classes) -> logits f32[B], psi(h) + <embed(y), h>
    (Miyato and Koyama 2018, equation 3).

    psi is linear. `spectral` normalises it and the embedding, as the authors' discriminators do. A
    label beyond the last class gives NaN; a negative one counts from the end.

    Raises:
      ValueError: if the features are not [B, F], or the labels not integers [B].
    """

    n_classes: int
    spectral: bool = False
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = nn.linear.default_kernel_init
    embedding_init: Callable = nn.linear.default_embed_init

    @nn.compact
    def __call__(self, x, label):
        x = _features(x, self.dtype)
        if label.shape != x.shape[:1]:
            raise ValueError(f"Projection: features {x.shape} need labels [B], not {label.shape}")
        dense, embed = (SpectralDense, SpectralEmbed) if self.spectral else (nn.Dense, nn.Embed)
        psi = dense(1, kernel_init=self.kernel_init, dtype=self.dtype, name="psi")(x)[:, 0]
        options = {"embedding_init": self.embedding_init, "dtype": self.dtype, "name": "embed"}
        direction = embed(self.n_classes, x.shape[-1], **options)(label)
        return psi.astype(jnp.float32) + (direction * x).astype(jnp.float32).sum(-1)


class AuxiliaryClassifier(nn.Module):
    """Features [B, F] -> (logits f32[B], class logits f32[B, n_classes]), the source's and the class's
    of AC-GAN (Odena, Olah and Shlens 2017, section 3).

    Raises:
      ValueError: if the features are not [B, F].
    """

    n_classes: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, label=None):
        x = _features(x, self.dtype)
        source = nn.Dense(1, dtype=self.dtype, name="source")(x)[:, 0]
        classes = nn.Dense(self.n_classes, dtype=self.dtype, name="classes")(x)
        return source.astype(jnp.float32), classes.astype(jnp.float32)


class CodeHead(nn.Module):
    """Features [B, F] -> (a tuple of logits f32[B, K], one for each K in `categories`; means
    f32[B, continuous]), InfoGAN's Q(c | x) (Chen et al. 2016, section 6).

    The continuous codes are Gaussian about the means, with the variance of 1 that the authors' code
    has. The defaults are its codes for MNIST. There, a hidden layer of 128 that Q has to itself goes
    before.

    Raises:
      ValueError: if the features are not [B, F].
    """

    categories: tuple[int, ...] = (10,)
    continuous: int = 2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, label=None):
        x = _features(x, self.dtype)
        y = nn.Dense(sum(self.categories) + self.continuous, dtype=self.dtype)(x).astype(jnp.float32)
        *logits, means = jnp.split(y, list(accumulate(self.categories)), axis=-1)
        return tuple(logits), means
