"""The contract checks find what they are there to find."""

import jax
import jax.numpy as jnp
import pytest

from jaxgan.losses import penalties
from jaxgan.losses.adversarial import AdversarialLoss, non_saturating
from jaxgan.testing import check_loss, check_penalty

softplus = jax.nn.softplus


def _mean(x):
    return x.reshape(len(x), -1).mean(1)


g = non_saturating.g
WRONG_LOSSES = {
    "d has shape": AdversarialLoss(lambda r, f: non_saturating.d(r, f).mean(), g),
    "patches": AdversarialLoss(lambda r, f: (softplus(-r) + softplus(f)).reshape(len(r), -1).sum(1), g),
    "without a ValueError": AdversarialLoss(lambda r, f: _mean(softplus(-r) + softplus(f)), g),
    "not finite": AdversarialLoss(
        lambda r, f: non_saturating.d(r, f) + 0 * jnp.exp(f.reshape(len(f), -1).mean(1)), g
    ),
    "real data up": AdversarialLoss(lambda r, f: non_saturating.d(-r, f), g),
    "fake data down": AdversarialLoss(lambda r, f: non_saturating.d(r, -f), g),
    "G does not want": AdversarialLoss(non_saturating.d, lambda r, f: -g(r, f)),
    "order of the batch": AdversarialLoss(lambda r, f: non_saturating.d(r, f)[::-1], g),
}


@pytest.mark.parametrize("what", WRONG_LOSSES)
def test_a_wrong_loss_is_named(what):
    with pytest.raises(AssertionError, match=what):
        check_loss(WRONG_LOSSES[what])


def _whole_batch(critic, real, fake, key, slot):
    """A norm over the batch, as in a public library."""
    norm = jnp.sqrt(penalties.squared_gradient(critic, real).sum())
    return jnp.full(len(real), (norm - 1) ** 2)


def _unsafe(critic, real, fake, key, slot):
    return (jnp.sqrt(penalties.squared_gradient(critic, real)) - 1) ** 2


WRONG_PENALTIES = {
    "it has shape": lambda c, r, f, k, s: penalties.r1(c, r, f, k, s).mean(),
    "below 0": lambda c, r, f, k, s: -penalties.r1(c, r, f, k, s),
    "order of the batch": lambda c, r, f, k, s: penalties.r1(c, r, f, k, s)[::-1],
    "not each example's own": _whole_batch,
    "no slope": _unsafe,
}


@pytest.mark.parametrize("what", WRONG_PENALTIES)
def test_a_wrong_penalty_is_named(what):
    with pytest.raises(AssertionError, match=what):
        check_penalty(WRONG_PENALTIES[what])
