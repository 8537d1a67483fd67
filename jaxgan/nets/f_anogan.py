"""f-AnoGAN's generator and its encoder (Schlegl et al. 2019) as one network, and the encoder's last layer."""

import jax.numpy as jnp
from flax import linen as nn


class Code(nn.Module):
    """Features [B, F] -> z f32[B, latent] in (-1, 1); as a head of `dcgan.Discriminator`."""

    latent: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, label=None):
        x = nn.Dense(self.latent, dtype=self.dtype, kernel_init=nn.initializers.normal(0.02))(x)
        return jnp.tanh(x.astype(jnp.float32))


class Autoencoder(nn.Module):
    """z [B, latent] -> data, by the generator alone."""

    generator: nn.Module  # (z, train=...) -> data
    encoder: nn.Module  # (data, train=...) -> z

    def __call__(self, z, *, train: bool):
        made = self.generator(z, train=train)
        if self.is_initializing():
            self.encoder(made, train=train)
        return made

    def reconstruct(self, x):
        """G(E(x)) of data, the generator in inference mode."""
        return self.generator(self.encoder(x, train=False), train=False)
