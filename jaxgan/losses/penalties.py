"""Penalties, pure functions of any callable that makes logits or data.

Those on the discriminator have one signature, `(critic, real, fake, key, slot) -> [B]`, so that they
add up: `critic` maps data [B, ...] to logits [B, ...], `slot` i32[B] is each example's place in the
global batch. Those on the generator are `(generate, z, fake, key, slot) -> [B]`, with `fake` what
`generate` made of z. What a penalty does not need it ignores. A norm is an example's own; where it is
0 its gradient is 0, not NaN.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import random


def _per_example(x):
    return x.reshape(x.shape[0], -1).mean(1)


def _judged(critic, x):
    """The critic's logits [B, ...] of x [B, ...]."""
    logits = critic(x)
    if getattr(logits, "shape", ())[:1] != x.shape[:1]:
        what = getattr(logits, "shape", type(logits).__name__)
        raise ValueError(f"a critic makes logits [{len(x)}, ...] of {len(x)} examples, not {what}")
    return logits


def squared_gradient(critic, x):
    """The squared norm of the critic's gradient in each example, [B].

    A patch critic's logits [B, h, w] are averaged first, so that its size does not scale the penalty.
    """
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise ValueError(f"a penalty of D's slope is of floats, not of {x.dtype} levels: take x / 127.5 - 1")
    gradient = jax.grad(lambda x: _per_example(_judged(critic, x)).sum())(x)
    return jnp.square(gradient).reshape(x.shape[0], -1).sum(1)


def safe_norm(squared):
    """The square root of a squared norm, which is 0 with gradient 0 below 1e-24: nearer to 0 the root's
    second derivative leaves float32."""
    positive = squared > 1e-24
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def _same_shape(real, fake):
    if real.shape != fake.shape:
        raise ValueError(f"real {real.shape} and fake {fake.shape} differ in shape")


def interpolate(real, fake, key, slot):
    """A point on the line between each real and fake pair, uniform and one weight an example."""
    _same_shape(real, fake)
    weight = random.uniform(random.fold(key, "interpolate"), slot, (1,) * (real.ndim - 1))
    return real + weight * (fake - real)


def _to_slope_one(critic, x, one_sided):
    off = safe_norm(squared_gradient(critic, x)) - 1
    return jnp.square(jax.nn.relu(off) if one_sided else off)


def gradient_penalty(critic, real, fake, key, slot, *, weight: float = 10.0, one_sided: bool = False):
    """weight (||grad D|| - 1)^2 between real and fake (Gulrajani et al. 2017, equation 3); one-sided,
    slopes below 1 are free (Petzka, Fischer and Lukovnikov 2018)."""
    return weight * _to_slope_one(critic, interpolate(real, fake, key, slot), one_sided)


def dragan(
    critic, real, fake, key, slot, *, weight: float = 10.0, scale: float = 0.5, axis: str | None = None
):
    """weight (||grad D|| - 1)^2 around the real data (Kodali et al. 2017, section 2.3): on the line to
    x + scale std u, with the batch's standard deviation and u uniform in [0, 1) for each number."""
    moments = real.mean(), jnp.square(real).mean()
    mean, square = moments if axis is None else lax.pmean(moments, axis)
    std = safe_norm(square - jnp.square(mean))
    noise = random.uniform(random.fold(key, "dragan"), slot, real.shape[1:])
    x = interpolate(real, real + scale * std * noise, key, slot)
    return weight * _to_slope_one(critic, x, False)


def r1(critic, real, fake, key, slot, *, gamma: float = 10.0):
    """gamma / 2 ||grad D||^2 at the real data (Mescheder, Geiger and Nowozin 2018, equation 9)."""
    return gamma / 2 * squared_gradient(critic, real)


def r2(critic, real, fake, key, slot, *, gamma: float = 10.0):
    """gamma / 2 ||grad D||^2 at the generated data (as above, equation 10)."""
    return gamma / 2 * squared_gradient(critic, fake)


def _moved(critic, x, noise, epsilon, gamma, logits):
    apart = _judged(critic, x + epsilon * noise) - (_judged(critic, x) if logits is None else logits)
    return gamma / 2 * jnp.square(_per_example(apart) / epsilon)


def approximate_r1(critic, real, fake, key, slot, *, gamma: float = 10.0, epsilon: float = 0.01, logits=None):
    """gamma / 2 ((D(x + epsilon n) - D(x)) / epsilon)^2 at the real data, n normal noise: R1 without a second
    derivative (Lin et al. 2025, https://arxiv.org/abs/2501.08316, with gamma / epsilon^2 in one weight).

    In the mean over n it is R1 and an error of order epsilon^2; of a linear D it is off by no more than the
    noise, whose standard deviation is sqrt(2) of it in one example. D's rounding is divided by epsilon: in
    float32 the slope is off by some 1e-7 |D| / epsilon.

    Args:
      logits: D(x), where it is known: it saves a pass.
    """
    noise = random.normal(random.fold(key, "approximate_r1"), slot, real.shape[1:])
    return _moved(critic, real, noise, epsilon, gamma, logits)


def approximate_r2(critic, real, fake, key, slot, *, gamma: float = 10.0, epsilon: float = 0.01, logits=None):
    """As `approximate_r1`, at the generated data."""
    noise = random.normal(random.fold(key, "approximate_r2"), slot, fake.shape[1:])
    return _moved(critic, fake, noise, epsilon, gamma, logits)


def zero_centred(critic, real, fake, key, slot, *, weight: float = 10.0):
    """weight ||grad D||^2 between real and fake (Thanh-Tung, Tran and Venkatesh 2019)."""
    return weight * squared_gradient(critic, interpolate(real, fake, key, slot))


def drift(critic, real, fake, key, slot, *, weight: float = 1e-3):
    """weight D(x)^2 on real data, which keeps a Wasserstein critic's level near 0 (Karras et al. 2018,
    appendix A.1)."""
    return weight * _per_example(jnp.square(_judged(critic, real)))


def consistency(
    critic, real, fake, key, slot, *, augment, weight: float = 10.0, weight_fake: float | None = None
):
    """weight (D(x) - D(T(x)))^2 on real data, T an augmentation (CR; Zhang et al. 2020, equation 3), and
    with `weight_fake` the same on generated data (bCR; Zhao et al. 2021).

    Args:
      augment: (key, data, slot) -> data.
    """

    def change(x, name):
        moved = augment(random.fold(key, "consistency", name), x, slot)
        return _per_example(jnp.square(_judged(critic, x) - _judged(critic, moved)))

    total = weight * change(real, "real")
    if weight_fake is None:
        return total
    return total + weight_fake * change(lax.stop_gradient(fake), "fake")


def lecam(real_logits, fake_logits, real_anchor, fake_anchor):
    """(D(x) - fake_anchor)^2 where above it, and (real_anchor - D(G(z)))^2 where below, [B]: logits are
    drawn to the other side's running mean (Tseng et al. 2021, one-sided as in their code).

    The anchors are moving averages of D's mean logits on real and on fake data.
    """
    _same_shape(real_logits, fake_logits)
    above = jax.nn.relu(real_logits - fake_anchor)
    below = jax.nn.relu(real_anchor - fake_logits)
    return _per_example(jnp.square(above) + jnp.square(below))


def orthogonal(params, *, weight: float = 1e-4, diagonal: bool = False):
    """weight ||W'W o (1 - I)||^2 summed over the kernels W of a network, f32[] (Brock, Donahue and
    Simonyan 2019, equation 3); with `diagonal`, ||W'W - I||^2 (Brock et al. 2017)."""

    def one(w):
        w = w.reshape(-1, w.shape[-1])
        gram, eye = w.T @ w, jnp.eye(w.shape[-1])
        return jnp.square(gram - eye if diagonal else gram * (1 - eye)).sum()

    return weight * sum(one(w) for w in jax.tree.leaves(params) if w.ndim > 1)


def normalise_gradient(critic):
    """The critic D / (||grad D|| + |D|), whose slope is 1 at most (Wu et al. 2021).

    It is a critic itself, for data [B, ...] and one logit an example; nothing of the network changes. Where
    D and its slope are 0, to 1e-12, it is D.
    """

    def normalised(x):
        logits = critic(x)
        if logits.ndim != 1:
            raise ValueError(f"gradient normalisation takes one logit an example, not {logits.shape}")
        size = safe_norm(squared_gradient(critic, x)) + jnp.abs(logits)
        return logits / jnp.where(size > 1e-12, size, 1.0)

    return normalised


def path_lengths(generate, z, key, slot):
    """||J' y|| of G's Jacobian J in z for random images y of variance 1 / pixels, [B] (Karras et al.
    2020, equation 4, with z for w). Its square's mean is ||J||_F^2 / pixels."""
    fake, pull_back = jax.vjp(generate, z)
    noise = random.normal(random.fold(key, "path"), slot, fake.shape[1:])
    pixels = fake[0].size // fake.shape[-1]
    (back,) = pull_back((noise / jnp.sqrt(pixels)).astype(fake.dtype))
    return safe_norm(jnp.square(back).reshape(z.shape[0], -1).sum(1))


def path_length(generate, z, fake, key, slot, *, mean, weight: float = 2.0):
    """weight (||J' y|| - mean)^2, with the running mean of the lengths (as above)."""
    return weight * jnp.square(path_lengths(generate, z, key, slot) - mean)


def mode_seeking(generate, z, fake, key, slot, *, latent, weight: float = 1.0):
    """weight / (|G(z) - G(z')| / |z - z'| + 1e-5), mean absolute differences, for a second latent z' of
    the same condition (Mao et al. 2019); 0 where z' is z."""
    other = latent(random.fold(key, "mode seeking"), slot)
    apart = _per_example(jnp.abs(other - z))
    far = _per_example(jnp.abs(generate(other) - fake)) / jnp.where(apart > 0, apart, 1.0)
    return jnp.where(apart > 0, weight / (far + 1e-5), 0.0)


def latent_consistency(critic, generate, z, fake, key, slot, *, std: float = 0.03):
    """How far D and G move with z + N(0, std^2): ((D(G(z)) - D(G(z')))^2 [B], (G(z) - G(z'))^2 [B]).
    D is made to move less, G more (zCR; Zhao et al. 2021)."""
    other = generate(z + std * random.normal(random.fold(key, "latent consistency"), slot, z.shape[1:]))
    moved = jnp.square(_judged(critic, fake) - _judged(critic, other))
    return _per_example(moved), _per_example(jnp.square(fake - other))
