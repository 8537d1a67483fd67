"""A language that is known: an LSTM with random weights, by which any sequence has an exact probability.

In float64 on the host, so that the same lines are drawn on every machine.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax

BLOCK = 1000  # sequences at a time


class Oracle(NamedTuple):
    """The weights of one LSTM layer, f64, under the names of `nets.seqgan.LanguageModel`."""

    table: np.ndarray  # [V, E]
    kernel: np.ndarray  # [E + H, 4 H]
    bias: np.ndarray  # [4 H]
    out_kernel: np.ndarray  # [H, V]
    out_bias: np.ndarray  # [V]


def create(tokens: int, hidden: int = 32, seed: int = 0) -> Oracle:
    """Weights from N(0, 1) (Yu et al. 2017, section 5.1); the embedding is as wide as the hidden state."""
    rng, v, h = np.random.default_rng(seed), tokens, hidden
    shapes = (v, h), (2 * h, 4 * h), (4 * h,), (h, v), (v,)
    return Oracle(*(rng.normal(size=shape) for shape in shapes))


def _before(oracle: Oracle, n: int):
    """The state and the token before the first: the token is 0."""
    zeros = np.zeros((n, len(oracle.out_kernel)))
    return (zeros, zeros), np.zeros(n, np.int32)


def _next(oracle: Oracle, state, token):
    """The state after a token i32[n], and the logits f64[n, V] of the next one."""
    (c, h), e = state, oracle.table.shape[1]
    gates = oracle.table[token] @ oracle.kernel[:e] + h @ oracle.kernel[e:] + oracle.bias
    i, f, o, new = np.split(gates, 4, 1)
    c = expit(f) * c + expit(i) * np.tanh(new)
    h = expit(o) * np.tanh(c)
    return (c, h), h @ oracle.out_kernel + oracle.out_bias


def draw(oracle: Oracle, n: int, length: int, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
    """n sequences i32[n, length] of the oracle, whose logits are divided by the temperature."""
    rng, found = np.random.default_rng((seed, 1)), []
    for size in [BLOCK] * (n // BLOCK) + [n % BLOCK]:
        state, token = _before(oracle, size)
        tokens = np.zeros((size, length), np.int32)
        for t in range(length):
            state, logits = _next(oracle, state, token)
            cumulated = np.exp(log_softmax(logits / temperature, 1)).cumsum(1)
            passed = cumulated <= rng.random((size, 1)) * cumulated[:, -1:]
            token = tokens[:, t] = passed.sum(1)
        found.append(tokens)
    return np.concatenate(found)


def log_likelihood(oracle: Oracle, tokens) -> np.ndarray:
    """log p of each token given those before it, f64[n, L] of i32[n, L]."""
    found = np.zeros(tokens.shape)
    for first in range(0, len(tokens), BLOCK):
        part = tokens[first : first + BLOCK]
        state, token = _before(oracle, len(part))
        for t in range(tokens.shape[1]):
            state, logits = _next(oracle, state, token)
            token = part[:, t]
            found[first : first + BLOCK, t] = log_softmax(logits, 1)[np.arange(len(part)), token]
    return found


def entropy(oracle: Oracle, length: int, n: int = 10_000) -> float:
    """The oracle's own entropy in nats a token, of so many draws: the floor of a sampler that has its
    distribution. One that leaves out rare sequences lies below it."""
    return -float(log_likelihood(oracle, draw(oracle, n, length, seed=1)).mean())
