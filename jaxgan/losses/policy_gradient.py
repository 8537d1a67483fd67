"""What a generator that draws tokens learns by, which has no gradient through what it drew."""

import jax
import jax.numpy as jnp
from jax import lax


def negative_log_likelihood(logits, tokens):
    """-log p of each token, f32[B, L].

    Args:
      logits: [B, L, V] of each token, given those before it.
      tokens: i32[B, L].
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0]


def reinforce(logits, tokens, advantage):
    """A loss [B] whose mean gradient, over sequences that the policy itself drew, is that of minus the
    expected reward: -sum_t A_t log p(y_t | y_1 ... y_t-1) (Williams 1992; Yu et al. 2017, equation 7).

    Args:
      advantage: [B, L], what is expected once token t has been drawn, less a baseline that does not depend on
        that token. It counts as constant.
    """
    return (lax.stop_gradient(advantage) * negative_log_likelihood(logits, tokens)).sum(-1)


def leave_one_out(rewards, *, axis: str | None = None):
    """The mean of the other examples' rewards, as [B, ...]: a baseline that adds no bias.

    Args:
      rewards: [B, ...], two examples or more on all devices together.
      axis: the name of the device axis, if there is one.

    Raises:
      ValueError: if there is one example.
    """
    total, n = rewards.sum(0, keepdims=True), len(rewards)
    if axis is not None:
        total, n = lax.psum((total, n), axis)
    if n < 2:
        raise ValueError("a baseline of the other examples takes a batch of 2 or more")
    return (total - rewards) / (n - 1)
