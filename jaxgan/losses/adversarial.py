"""Adversarial losses: pairs of pure functions of the discriminator's logits, lower is better for
the player that owns the function.

Logits have shape [B, ...] (a patch discriminator's are [B, h, w]); a loss has shape [B], the mean
over everything but the example. A logit s stands for D = sigmoid(s); log sigmoid is never taken of
a sigmoid, so nothing overflows and D's loss can reach 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class AdversarialLoss(NamedTuple):
    """What each player minimises."""

    d: Callable  # (real_logits [B, ...], fake_logits [B, ...]) -> [B]
    g: Callable  # (fake_logits [B, ...]) -> [B]


def _per_example(x):
    return x.reshape(x.shape[0], -1).mean(1)


def _same_shape(real, fake):
    if real.shape != fake.shape:
        raise ValueError(f"logits of real {real.shape} and fake {fake.shape} differ in shape")


def _cross_entropy_d(real, fake):
    """-log D(x) - log(1 - D(G(z))), the negative of the value function of Goodfellow et al. 2014,
    equation 1. It is 2 log 2 where D cannot tell."""
    _same_shape(real, fake)
    return _per_example(jax.nn.softplus(-real) + jax.nn.softplus(fake))


def _minimax_g(fake):
    """log(1 - D(G(z))): its gradient in the logit is -D(G(z)), which vanishes where D is sure."""
    return _per_example(-jax.nn.softplus(fake))


def _non_saturating_g(fake):
    """-log D(G(z)), Goodfellow et al. 2014, section 3: its gradient is -(1 - D(G(z)))."""
    return _per_example(jax.nn.softplus(-fake))


def _hinge_d(real, fake):
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), with D the logit."""
    _same_shape(real, fake)
    return _per_example(jax.nn.relu(1 - real) + jax.nn.relu(1 + fake))


def _wasserstein_d(real, fake):
    _same_shape(real, fake)
    return _per_example(fake - real)


def _raise_fake(fake):
    return _per_example(-fake)


minimax = AdversarialLoss(_cross_entropy_d, _minimax_g)
non_saturating = AdversarialLoss(_cross_entropy_d, _non_saturating_g)
# Lim and Ye 2017, section 3; Miyato et al. 2018, equations 16 and 17.
hinge = AdversarialLoss(_hinge_d, _raise_fake)
# Arjovsky, Chintala and Bottou 2017, equation 2: the critic's difference, to be kept 1-Lipschitz.
wasserstein = AdversarialLoss(_wasserstein_d, _raise_fake)


def accuracy(logits, *, real: bool):
    """The share of logits [B, ...] on the right side of 0, [B]; a logit of 0 is half right."""
    side = jnp.sign(logits) if real else -jnp.sign(logits)
    return _per_example((1 + side) / 2)
