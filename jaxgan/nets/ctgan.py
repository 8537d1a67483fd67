"""The networks of CTGAN (Xu et al. 2019, section 4.4, and the authors' code)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.special import ndtr

from jaxgan.nn.categories import chosen, cumulative, gumbel_softmax


class Generator(nn.Module):
    """z [B, latent + 1 + codes] -> records f32[B, E], in sampling; `numbers` tells how many z has.

    The last numbers of z, normal as all are, choose the category of one column that is asked for, and make
    the Gumbel noise of the one-hot codes. In training G makes records with the category's one-hot code
    beside, f32[B, E + C], and says -log of the chance that the column has it, f32[B].

    Args:
      spans: the columns' encodings in a record, ("modes", 1 + modes) or ("one_hot", categories).
      asked: the share of each category of the one-hot columns, of C in all, among those that are asked for in
        training.
      given: the same in sampling.
    """

    spans: tuple[tuple[str, int], ...]
    asked: tuple[float, ...]
    given: tuple[float, ...]
    latent: int = 128
    hidden: tuple[int, ...] = (256, 256)
    temperature: float = 0.2
    axis: str | None = None

    @property
    def numbers(self) -> int:
        """How many numbers z has."""
        return self.latent + 1 + sum(width - (encoding == "modes") for encoding, width in self.spans)

    @nn.compact
    def __call__(self, z, *, train: bool):
        u = jnp.clip(ndtr(z[:, self.latent :]), 1e-6, 1 - 1e-6)
        x, code = z[:, : self.latent], jnp.zeros((len(z), 0))
        if self.asked:
            k = chosen(u[:, 0], cumulative(self.asked if train else self.given))
            code = jax.nn.one_hot(k, len(self.asked))
            x = jnp.concatenate([x, code], 1)
        for width in self.hidden:
            y = nn.Dense(width)(x)
            y = nn.relu(nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis)(y))
            x = jnp.concatenate([y, x], 1)
        out = nn.Dense(sum(width for _, width in self.spans))(x)
        parts, said, noise = [], [], u[:, 1:]
        for encoding, width in self.spans:
            own, out = out[:, :width], out[:, width:]
            if encoding == "modes":
                parts.append(jnp.tanh(own[:, :1]))
                own = own[:, 1:]
            else:
                said.append(jax.nn.log_softmax(own))
            parts.append(gumbel_softmax(own, noise[:, : own.shape[1]], self.temperature))
            noise = noise[:, own.shape[1] :]
        record = jnp.concatenate(parts, 1)
        if not train:
            return record
        if not self.asked:
            return record, jnp.zeros(len(z))
        missed = -(code * jnp.concatenate(said, 1)).sum(1)
        return jnp.concatenate([record, code], 1), missed


class Discriminator(nn.Module):
    """Packs of records [B, D] -> logits f32[B]."""

    hidden: tuple[int, ...] = (256, 256)
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x, *, train: bool):
        for width in self.hidden:
            x = nn.leaky_relu(nn.Dense(width)(x), 0.2)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(1)(x)[:, 0].astype(jnp.float32)
