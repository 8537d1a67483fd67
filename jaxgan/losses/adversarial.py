"""Adversarial losses: pairs of pure functions of the discriminator's logits, lower is better for
the player that owns the function.

Logits have shape [B, ...] (a patch discriminator's are [B, h, w]); a loss has shape [B], the mean
over everything but the example. A logit s stands for D = sigmoid(s); log sigmoid is never taken of
a sigmoid, so nothing overflows and D's loss can reach 0.

Both functions take the logits of real and of fake data, also where a loss looks at one of them
alone: what is not used costs nothing once compiled. Their options are keyword arguments:

    lsgan = AdversarialLoss(partial(least_squares.d, a=-1.0), partial(least_squares.g, c=0.0), chance=0.0)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class AdversarialLoss(NamedTuple):
    """What each player minimises."""

    d: Callable  # (real_logits [B, ...], fake_logits [B, ...]) -> [B]
    g: Callable  # (real_logits [B, ...], fake_logits [B, ...]) -> [B]
    chance: Any = 0.0  # the logit of what may as well be real as fake: on whose sides D is right or wrong


def _per_example(x):
    return x.reshape(x.shape[0], -1).mean(1)


def _same_shape(real, fake):
    if real.ndim == 0:
        raise ValueError("logits are [B, ...], one or more an example, and not a single number")
    if real.shape != fake.shape:
        raise ValueError(f"logits of real {real.shape} and fake {fake.shape} differ in shape")


def _logistic_d(real, fake, *, smooth: float = 0.0):
    """-log D(x) - log(1 - D(G(z))), the negative of the value function of Goodfellow et al. 2014,
    equation 1. It is 2 log 2 where D cannot tell.

    With `smooth`, D is told that real data is real with probability 1 - smooth (one-sided label
    smoothing, Salimans et al. 2016, section 3.4): (1 - smooth) softplus(-s) + smooth softplus(s).
    """
    _same_shape(real, fake)
    return _per_example(jax.nn.softplus(-real) + smooth * real + jax.nn.softplus(fake))


def _minimax_g(real, fake):
    """log(1 - D(G(z))): its gradient in the logit is -D(G(z)), which vanishes where D is sure."""
    _same_shape(real, fake)
    return _per_example(-jax.nn.softplus(fake))


def _non_saturating_g(real, fake):
    """-log D(G(z)), Goodfellow et al. 2014, section 3: its gradient is -(1 - D(G(z)))."""
    _same_shape(real, fake)
    return _per_example(jax.nn.softplus(-fake))


def _least_squares_d(real, fake, *, a: float = 0.0, b: float = 1.0):
    """(D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, with D the logit."""
    _same_shape(real, fake)
    return _per_example(jnp.square(real - b) + jnp.square(fake - a)) / 2


def _least_squares_g(real, fake, *, c: float = 1.0):
    """(D(G(z)) - c)^2 / 2; with b - c = 1 and b - a = 2, Pearson's chi squared (their theorem 1)."""
    _same_shape(real, fake)
    return _per_example(jnp.square(fake - c)) / 2


def _hinge_d(real, fake):
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), with D the logit."""
    _same_shape(real, fake)
    return _per_example(jax.nn.relu(1 - real) + jax.nn.relu(1 + fake))


def _wasserstein_d(real, fake):
    """D(G(z)) - D(x), with D the logit."""
    _same_shape(real, fake)
    return _per_example(fake - real)


def _raise_fake(real, fake):
    """-D(G(z)), with D the logit."""
    _same_shape(real, fake)
    return _per_example(-fake)


def _relativistic_d(real, fake):
    """-log sigmoid(D(x) - D(G(z))): each fake against its own real."""
    _same_shape(real, fake)
    return _per_example(jax.nn.softplus(fake - real))


def _relativistic_g(real, fake):
    return _relativistic_d(fake, real)


def _relativistic_average_d(real, fake, *, axis: str | None = None):
    """-log sigmoid(D(x) - mean D(G(z))) - log(1 - sigmoid(D(G(z)) - mean D(x))).

    The means are over the batch (and the patches), and over the device axis if it is named.
    """
    _same_shape(real, fake)
    means = real.mean(), fake.mean()
    real_mean, fake_mean = means if axis is None else lax.pmean(means, axis)
    return _per_example(jax.nn.softplus(fake_mean - real) + jax.nn.softplus(fake - real_mean))


def _relativistic_average_g(real, fake, *, axis: str | None = None):
    return _relativistic_average_d(fake, real, axis=axis)


# Activations g and conjugates f*, as functions of the logit: f*(g(s)) is written out.
_DIVERGENCES = {
    "kl": (lambda s: s, lambda s: jnp.exp(s - 1)),
    "reverse_kl": (lambda s: -jnp.exp(-s), lambda s: s - 1),
    "pearson": (lambda s: s, lambda s: jnp.square(s) / 4 + s),
    "squared_hellinger": (lambda s: -jnp.expm1(-s), jnp.expm1),
    "jensen_shannon": (
        lambda s: jnp.log(2.0) - jax.nn.softplus(-s),
        lambda s: jax.nn.softplus(s) - jnp.log(2.0),
    ),
}
DIVERGENCES = tuple(_DIVERGENCES)


def _divergence(name):
    if name not in _DIVERGENCES:
        raise ValueError(f"no divergence {name!r}; there are {', '.join(DIVERGENCES)}")
    return _DIVERGENCES[name]


def _f_gan_d(real, fake, *, divergence: str):
    """-(g(s) on real data) + f*(g(s)) on fake data: the negative of the variational bound, which the
    best D makes the divergence of the data from the generated distribution."""
    _same_shape(real, fake)
    activation, conjugate = _divergence(divergence)
    return _per_example(conjugate(fake) - activation(real))


def _f_gan_g(real, fake, *, divergence: str, saturating: bool = False):
    """-g(s) on fake data, their section 3.2; `saturating` takes the bound itself, -f*(g(s))."""
    _same_shape(real, fake)
    activation, conjugate = _divergence(divergence)
    return _per_example(-conjugate(fake) if saturating else -activation(fake))


minimax = AdversarialLoss(_logistic_d, _minimax_g)
non_saturating = AdversarialLoss(_logistic_d, _non_saturating_g)
# Mao et al. 2017, equations 2 and 9 (targets 0, 1, 1).
least_squares = AdversarialLoss(_least_squares_d, _least_squares_g, chance=0.5)
# Lim and Ye 2017, section 3; Miyato et al. 2018, equations 16 and 17.
hinge = AdversarialLoss(_hinge_d, _raise_fake)
# Arjovsky, Chintala and Bottou 2017, equation 2: the critic's difference, to be kept 1-Lipschitz.
wasserstein = AdversarialLoss(_wasserstein_d, _raise_fake)
# Jolicoeur-Martineau 2019 (RSGAN); Huang et al. 2024 (R3GAN), section 2, where pairing is what counts.
relativistic = AdversarialLoss(_relativistic_d, _relativistic_g)
# Jolicoeur-Martineau 2019 (RaSGAN).
relativistic_average = AdversarialLoss(_relativistic_average_d, _relativistic_average_g)
# Nowozin, Cseke and Tomioka 2016, tables 1, 2 and 6; `divergence` is one of DIVERGENCES, "kl" has chance 1.
f_gan = AdversarialLoss(_f_gan_d, _f_gan_g)


def flip(real, fake, flipped):
    """The logits that D is to call real and fake where some examples' labels are exchanged.

    Args:
      flipped: bool[B].
    """
    _same_shape(real, fake)
    if flipped.shape != real.shape[:1]:
        raise ValueError(f"logits {real.shape} need one choice an example, not {flipped.shape}")
    flipped = flipped.reshape(-1, *(1,) * (real.ndim - 1))
    return jnp.where(flipped, fake, real), jnp.where(flipped, real, fake)


def top_k(losses, fake_logits, share, *, axis: str | None = None):
    """G's losses [B] with only those of the highest fake logits kept, a share of the batch, and at least one,
    scaled so that their mean is the mean over those (Sinha et al. 2020, section 3).

    Args:
      share: in (0, 1], of the k = ceil(share B) that are kept. It may be traced, to shrink over a run.
      axis: the name of the device axis, if the batch is one shard of several.
    """
    scores = _per_example(fake_logits)
    whole, first = scores, 0
    if axis is not None:
        whole, first = lax.all_gather(scores, axis, tiled=True), lax.axis_index(axis) * len(scores)
    index, own = jnp.arange(len(whole))[None], first + jnp.arange(len(scores))[:, None]
    before = (whole[None] > scores[:, None]) | ((whole[None] == scores[:, None]) & (index < own))
    k = jnp.maximum(jnp.ceil(share * len(whole) - 1e-3), 1)  # less what rounding may add to a whole number
    return jnp.where(before.sum(1) < k, losses * (len(whole) / k), 0.0)


def accuracy(logits, *, real: bool, chance=0.0):
    """The share of logits [B, ...] on the right side of `chance`, [B]; one that equals it is half right."""
    side = jnp.sign(logits - chance) if real else jnp.sign(chance - logits)
    return _per_example((1 + side) / 2)
