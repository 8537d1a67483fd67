"""The character networks of WGAN-GP (Gulrajani et al. 2017; their code): residual blocks of convolutions five
characters wide, and no recurrence."""

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.nn.conv import Conv


class Block(nn.Module):
    """x [B, L, C] -> x + 0.3 of ReLU and a convolution, twice."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        y = x
        for _ in range(2):
            y = Conv(x.shape[-1], (5,), dtype=self.dtype)(nn.relu(y))
        return x + 0.3 * y


class Generator(nn.Module):
    """z [B, latent] -> the probabilities of each place's token, f32[B, length, tokens]."""

    length: int
    tokens: int
    width: int = 512
    blocks: int = 5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z):
        x = nn.Dense(self.length * self.width, dtype=self.dtype)(z).reshape(-1, self.length, self.width)
        for _ in range(self.blocks):
            x = Block(self.dtype)(x)
        return nn.softmax(Conv(self.tokens, (1,), dtype=self.dtype)(x).astype(jnp.float32))


class Discriminator(nn.Module):
    """Probabilities [B, L, V], one-hot of real text, -> logits f32[B]."""

    width: int = 512
    blocks: int = 5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = Conv(self.width, (1,), dtype=self.dtype)(x)
        for _ in range(self.blocks):
            x = Block(self.dtype)(x)
        return nn.Dense(1, dtype=self.dtype)(x.reshape(len(x), -1))[:, 0].astype(jnp.float32)
