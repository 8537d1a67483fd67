"""What a loss or a penalty of anyone's own must hold, as checks that need no trainer.

    from jaxgan.testing import check_loss, check_penalty

    check_loss(AdversarialLoss(d, g))
    check_penalty(my_penalty)

Each raises an AssertionError that names what does not hold.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

B = 6


def _require(holds, what: str):
    if not np.all(holds):
        raise AssertionError(what)


def _close(a, b, what: str):
    _require(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-4, atol=1e-5), what)


def _check_gradients(f, *args):
    """To order 2 in float64."""
    with jax.enable_x64(True):
        args = [jnp.asarray(x, jnp.float64) for x in args]
        check_grads(jax.jit(f), args, order=2, modes=["rev"], eps=1e-4, rtol=1e-3, atol=1e-3)


def check_loss(loss, *, far: float = 1e4):
    """Checks a pair of functions d and g, each (real_logits [B, ...], fake_logits [B, ...]) -> [B].

    - One number an example; [B, h, w] logits that are all equal give what [B] gives.
    - Exchanging examples exchanges their losses.
    - Values and gradients are finite at logits of +-far.
    - D wants real logits up and fake ones down, G fake ones up, where D is near `loss.chance`.
    - Logits of two shapes raise a ValueError, and do not broadcast.
    - Compiled, the same values; gradients to order 2 agree with finite differences.

    Args:
      far: how far out it must be finite; less than the default only for a loss that grows
        exponentially by its definition.
    """
    real, fake = loss.chance + jax.random.uniform(jax.random.key(0), (2, B), minval=-0.4, maxval=0.4)
    order = np.roll(np.arange(B), 2)
    for name, one in (("d", loss.d), ("g", loss.g)):
        value, compiled = one(real, fake), jax.jit(one)
        _require(jnp.shape(value) == (B,), f"{name} has shape {jnp.shape(value)} for logits [{B}]")
        patch = lambda x: jnp.broadcast_to(x[:, None, None], (B, 2, 3))  # noqa: E731
        _close(compiled(patch(real), patch(fake)), value, f"{name} of patches of equal logits is another")
        _close(compiled(real[order], fake[order]), value[order], f"{name} depends on the order of the batch")
        _close(compiled(real, fake), value, f"{name} is another when compiled")
        gradients = jax.jit(jax.grad(lambda r, f, one=one: one(r, f).sum(), (0, 1)))
        ends = jnp.array([-far, far], jnp.float32)
        for r, f in ((ends, ends), (ends, -ends)):
            outcome = (compiled(r, f), *gradients(r, f))
            _require([jnp.isfinite(x).all() for x in outcome], f"{name} is not finite at logits of +-{far:g}")
        try:
            one(real[:, None], fake[None])
        except ValueError:
            pass
        else:
            raise AssertionError(f"{name} takes logits [{B}, 1] and [1, {B}] without a ValueError")
        _check_gradients(one, 2 * real, 2 * fake)
    to_real, to_fake = jax.jit(jax.grad(lambda r, f: loss.d(r, f).sum(), (0, 1)))(real, fake)
    _require(to_real < 0, "D does not want the logits of real data up")
    _require(to_fake > 0, "D does not want the logits of fake data down")
    to_fake = jax.jit(jax.grad(lambda f: loss.g(real, f).sum()))(fake)
    _require(to_fake < 0, "G does not want the fake logits up")


def _critic(w):
    """A smooth critic of data [B, 3, 2]; with w = 0 its slope is 0 everywhere."""
    w = w[None]
    return lambda x: (w * jnp.tanh(x) + w**2 * x).sum((1, 2))


def check_penalty(penalty: Callable):
    """Checks a penalty `(critic, real, fake, key, slot) -> [B]` on the discriminator.

    - One number an example, none below 0.
    - Exchanging examples, with their slots, exchanges their penalties.
    - A batch given twice has each penalty twice: it is an example's own, and no norm of the batch.
    - Its gradient is finite where the critic has no slope.
    - Compiled, the same values; gradients in the critic's weights to order 2 agree with finite
      differences.
    """
    key, slot = jax.random.key(0), jnp.arange(B)
    real, fake = jax.random.normal(jax.random.key(1), (2, B, 3, 2))
    w = jax.random.uniform(jax.random.key(2), (3, 2), minval=0.2, maxval=0.6)

    def run(w, real=real, fake=fake, slot=slot):
        return penalty(_critic(w), real, fake, key, slot)

    value, compiled = run(w), jax.jit(run)
    _require(jnp.shape(value) == (B,), f"it has shape {jnp.shape(value)} for a batch of {B}")
    _require(value >= 0, "it is below 0")
    order = np.roll(np.arange(B), 2)
    shuffled = compiled(w, real[order], fake[order], slot[order])
    _close(shuffled, value[order], "it depends on the order of the batch")
    twice = [jnp.concatenate([x, x]) for x in (real, fake, slot)]
    _close(compiled(w, *twice), jnp.concatenate([value, value]), "it is not each example's own")
    _close(compiled(w), value, "it is another when compiled")
    flat = jax.jit(jax.grad(lambda w: run(w).sum()))(jnp.zeros_like(w))
    _require(jnp.isfinite(flat), "its gradient is not finite where the critic has no slope")
    _check_gradients(run, w)
