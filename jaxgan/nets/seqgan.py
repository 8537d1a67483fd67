"""The networks of SeqGAN (Yu et al. 2017; their code): an LSTM that draws tokens one after another, and a
convolutional network over all of them."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan.nn.conv import Conv


def _inverse(logits, noise):
    """The token i32[B] at which the cumulated probabilities pass the noise f32[B], uniform in [0, 1)."""
    cumulated = jnp.cumsum(nn.softmax(logits), -1)
    passed = cumulated <= noise[:, None] * cumulated[:, -1:]
    return jnp.minimum(passed.sum(-1), logits.shape[-1] - 1).astype(jnp.int32)


def _likeliest_first(logits, noise):
    """As `_inverse`, with the tokens in the order of their probabilities."""
    order = jnp.argsort(-logits, -1)
    place = _inverse(jnp.take_along_axis(logits, order, -1), noise)
    return jnp.take_along_axis(order, place[:, None], -1)[:, 0].astype(jnp.int32)


class LanguageModel(nn.Module):
    """Tokens i32[B, L] -> logits f32[B, L, V] of each token, given those before it.

    One LSTM layer, whose first input is token 0. What is drawn is drawn at a temperature, 1 in training, that
    is kept in the collection `sampling`.
    """

    tokens: int  # V
    embedding: int = 32
    hidden: int = 32
    std: float = 0.1  # of all weights at first

    def setup(self):
        init, v, e, h = nn.initializers.normal(self.std), self.tokens, self.embedding, self.hidden
        self.table = self.param("table", init, (v, e))
        self.kernel = self.param("kernel", init, (e + h, 4 * h))
        self.bias = self.param("bias", init, (4 * h,))
        self.out_kernel = self.param("out_kernel", init, (h, v))
        self.out_bias = self.param("out_bias", init, (v,))
        self.temperature = self.variable("sampling", "temperature", lambda: jnp.ones(()))

    def _entries(self):
        """What each token adds to the gates, f32[V, 4H]."""
        return self.table @ self.kernel[: self.embedding] + self.bias[None]

    def _cell(self, carry, entry):
        c, h = carry
        i, f, o, new = jnp.split(entry + h @ self.kernel[self.embedding :], 4, -1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(new)
        return c, nn.sigmoid(o) * jnp.tanh(c)

    def _logits(self, h):
        return h @ self.out_kernel + self.out_bias.reshape((1,) * (h.ndim - 1) + (-1,))

    def _start(self, n: int):
        """The state before the first token, and the first input: of n sequences."""
        zeros = jnp.zeros((n, self.hidden))
        return (zeros, zeros), jnp.broadcast_to(self._entries()[:1], (n, 4 * self.hidden))

    def __call__(self, tokens):
        carry, first = self._start(tokens.shape[0])
        entries = jnp.concatenate([first[None], self._entries()[tokens.T[:-1]]])

        def turn(carry, entry):
            carry = self._cell(carry, entry)
            return carry, carry[1]

        return self._logits(lax.scan(turn, carry, entries)[1]).swapaxes(0, 1)

    def complete(self, noise, given, known, *, likeliest_first: bool = False):
        """Sequences i32[B, L] that begin as they are given and are drawn from there on.

        Args:
          noise: f32[B, L], uniform in [0, 1).
          given: i32[B, L], of which only the first `known` i32[B] are looked at.
          likeliest_first: the noise counts from the likeliest token on, so that noise below p draws from the
            nucleus of probability p alone (Holtzman et al. 2020), whose last token has what is left of p.
        """
        entries, draw = self._entries(), _likeliest_first if likeliest_first else _inverse

        def turn(carry, inputs):
            state, entry = carry
            noise, given, place = inputs
            state = self._cell(state, entry)
            drawn = draw(self._logits(state[1]) / self.temperature.value, noise)
            token = jnp.where(place < known, given, drawn)
            return (state, entries[token]), token

        places = jnp.arange(noise.shape[1])
        return lax.scan(turn, self._start(noise.shape[0]), (noise.T, given.T, places))[1].T

    def draw(self, noise, *, likeliest_first: bool = False):
        """Whole sequences of noise f32[B, L]; see `complete`."""
        given, known = jnp.zeros(noise.shape, jnp.int32), jnp.zeros(noise.shape[:1], jnp.int32)
        return self.complete(noise, given, known, likeliest_first=likeliest_first)

    def relaxed(self, gumbel, tau):
        """Sequences as one-hot vectors f32[B, L, V], each the largest of logits plus Gumbel noise; in their
        place the gradient sees the softmax of that over tau (straight-through Gumbel-softmax: Jang, Gu and
        Poole 2017)."""
        entries = self._entries()

        def turn(carry, gumbel):
            state, entry = carry
            state = self._cell(state, entry)
            noisy = self._logits(state[1]) + gumbel
            soft = nn.softmax(noisy / tau)
            hard = jax.nn.one_hot(noisy.argmax(-1), self.tokens)
            token = hard + soft - lax.stop_gradient(soft)
            return (state, token @ entries), token

        return lax.scan(turn, self._start(gumbel.shape[0]), gumbel.swapaxes(0, 1))[1].swapaxes(0, 1)


class Discriminator(nn.Module):
    """Tokens i32[B, L], or mixtures of them f32[B, L, V], -> logits f32[B].

    Convolutions of several widths, each the largest over all places, and a highway layer (Yu et al. 2017,
    section 3.3).

    Raises:
      ValueError: if a filter is wider than the sequences are long.
    """

    tokens: int  # V
    widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    filters: int = 32  # of each width
    embedding: int = 32

    @property
    def features(self) -> int:
        """How many numbers the last layer sees."""
        return len(self.widths) * self.filters

    @nn.compact
    def __call__(self, x, mask=None):
        """`mask` f32[B, features] multiplies what the last layer sees: dropout."""
        if max(self.widths) > x.shape[1]:
            raise ValueError(f"a filter of width {max(self.widths)} is wider than sequences of {x.shape[1]}")
        table = self.param("table", nn.initializers.uniform(2.0), (self.tokens, self.embedding)) - 1
        x = table[x] if jnp.issubdtype(x.dtype, jnp.integer) else x @ table
        init = dict(kernel_init=nn.initializers.truncated_normal(0.1))
        start = init | dict(bias_init=nn.initializers.constant(0.1))
        found = [nn.relu(Conv(self.filters, (w,), padding="VALID", **start)(x)).max(1) for w in self.widths]
        x = jnp.concatenate(found, -1)
        gate, new = nn.Dense(self.features)(x), nn.Dense(self.features)(x)
        x = nn.sigmoid(gate) * nn.relu(new) + (1 - nn.sigmoid(gate)) * x
        return nn.Dense(1, **start)(x if mask is None else x * mask)[:, 0]
