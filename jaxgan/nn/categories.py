"""Categories: one chosen by a number, and codes of several columns' choices by Gumbel noise."""

import math

import jax
import jax.numpy as jnp
import numpy as np


def cumulative(shares) -> np.ndarray:
    """The sums f32[K] of shares up to each, the last of which is 1."""
    total = np.cumsum(np.asarray(shares, np.float64))
    return (total / total[-1]).astype(np.float32)


def chosen(u, below):
    """Which of K categories numbers u [B], uniform in [0, 1), choose by `cumulative` shares [K]: i32[B]. One
    without a share is never chosen."""
    return (u[:, None] >= below[None, :-1]).sum(1).astype(jnp.int32)


def gumbel_softmax(logits, u, temperature):
    """A relaxed one-hot code [B, K] of a draw from softmax(logits), logits [B, K]: softmax((logits + g) / t),
    with Gumbel noise g = -log(-log u) of u [B, K], uniform in (0, 1) (Jang et al. 2017, equation 2). At any
    temperature the greatest entry is that of an exact draw (Maddison et al. 2017)."""
    if logits.shape != u.shape:
        raise ValueError(f"each logit has a number: {logits.shape} and {u.shape}")
    return jax.nn.softmax((logits - jnp.log(-jnp.log(u))) / temperature)


def asked_shares(counts: tuple[tuple[int, ...], ...]) -> tuple[float, ...]:
    """How often each category is asked for in CTGAN's training, of columns by their categories' counts: each
    column alike, and in it by the logarithm of 1 + count (Xu et al. 2019, section 4.3)."""
    logs = [[math.log1p(n) for n in own] for own in counts]
    return tuple(x / sum(own) / len(counts) for own in logs for x in own)


def given_shares(counts: tuple[tuple[int, ...], ...]) -> tuple[float, ...]:
    """The same in sampling: in each column by count."""
    return tuple(n / sum(own) / len(counts) for own in counts for n in own)
