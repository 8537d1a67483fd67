"""What is added to a player's loss: named functions of one record of what the step has computed.

two_player(..., d_terms={"r1": penalty(penalties.r1, every=16, gamma=1.0),
                         "small": lambda seen: 1e-3 * seen.real_logits**2})
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import random
from jaxgan.losses import adversarial, penalties
from jaxgan.losses.adversarial import AdversarialLoss


class Seen(NamedTuple):
    """What a player's step has computed when its terms are taken."""

    critic: Callable  # data [B, ...] -> logits [B, ...], D with the statistics that it has before the step
    generate: Callable | None  # z -> data, in G's step; None in D's, where G stands still
    real: jax.Array  # [B, ...]; in D's step packed, where D judges packs
    fake: jax.Array  # [B, ...]; as `real`
    real_logits: jax.Array  # [B, ...]
    fake_logits: jax.Array  # [B, ...]
    of_real: Any  # what D says beside its logits; None if it says nothing else
    of_fake: Any
    z: Any  # what G made the fake from
    batch: dict  # the real batch as it came
    key: jax.Array  # of this update
    slot: jax.Array  # i32[B], the examples' (in D's step the packs') places in the global batch
    state: Any  # before the update


class Term(NamedTuple):
    """A term of a loss; `weight * of(seen)` in the mean over the batch."""

    of: Callable  # Seen -> [B]; with `start`, (Seen, carried) -> [B]
    weight: Any = 1.0
    every: int = 1  # taken in one step of so many, and so many times as heavy (lazy regularisation)
    start: Any = None  # what it carries in `state.extra` before the first step; None: nothing
    carry: Callable | None = None  # (Seen, carried) -> carried


class OfStep(NamedTuple):
    """A pair of adversarial losses that see all of the step, in the place of its logits alone."""

    d: Callable  # Seen -> [B]
    g: Callable  # Seen -> [B]


def of_step(loss: AdversarialLoss | OfStep) -> OfStep:
    """The loss as functions of what is seen."""
    if isinstance(loss, OfStep):
        return loss
    d, g = (lambda seen, f=f: f(seen.real_logits, seen.fake_logits) for f in loss)
    return OfStep(d, g)


def named(terms: Mapping[str, Term | Callable]) -> dict[str, Term]:
    """The terms, a plain function among them as one of weight 1."""
    return {name: term if isinstance(term, Term) else Term(term) for name, term in terms.items()}


def taken(terms: dict[str, Term], seen: Seen) -> tuple[dict, Any]:
    """Each term's weighted mean, 0 in the steps that leave it out, and `state.extra` after the step."""
    values, extra = {}, seen.state.extra
    for name, term in terms.items():
        carried = () if term.start is None else (seen.state.extra[name],)

        def value(term=term, carried=carried):
            return term.weight * term.every * term.of(seen, *carried).mean()

        lazy = term.every > 1
        values[name] = lax.cond(seen.state.step % term.every == 0, value, lambda: 0.0) if lazy else value()
        if carried:
            extra = extra | {name: lax.stop_gradient(term.carry(seen, *carried))}
    return values, extra


def penalty(of: Callable, *, every: int = 1, **options) -> Term:
    """A penalty on D, as in `jaxgan.losses.penalties`: (critic, real, fake, key, slot, **options) -> [B]."""
    return Term(lambda s: of(s.critic, s.real, s.fake, s.key, s.slot, **options), every=every)


def g_penalty(of: Callable, *, every: int = 1, **options) -> Term:
    """A penalty on G: (generate, z, fake, key, slot, **options) -> [B]."""
    return Term(lambda s: of(s.generate, s.z, s.fake, s.key, s.slot, **options), every=every)


def lecam(weight, *, decay: float = 0.99, axis: str | None = None) -> Term:
    """`penalties.lecam`, with the moving averages of D's mean logits, from 0, as anchors.

    Args:
      decay: of the anchors; the default is that of Tseng et al. 2021, in their StyleGAN2 code.
      axis: the name of the device axis, if there is one.
    """

    def carry(s, anchors):
        means = jnp.stack([s.real_logits.mean(), s.fake_logits.mean()])
        return decay * anchors + (1 - decay) * (means if axis is None else lax.pmean(means, axis))

    def of(s, anchors):
        return penalties.lecam(s.real_logits, s.fake_logits, *anchors)

    return Term(of, weight, start=jnp.zeros(2), carry=carry)


def flipped(loss: AdversarialLoss | OfStep, probability) -> OfStep:
    """The loss, with an example's (a pack's) real and fake logits exchanged by chance in D's part."""
    _, g = of_step(loss)

    def d(s):
        some = random.uniform(random.fold(s.key, "flip"), s.slot) < probability
        real, fake = adversarial.flip(s.real_logits, s.fake_logits, some)
        return of_step(loss).d(s._replace(real_logits=real, fake_logits=fake))

    return OfStep(d, g)


def top_k(loss: AdversarialLoss | OfStep, share: Callable, *, axis: str | None = None) -> OfStep:
    """The loss, of which G learns from the batch's best samples (packs) alone: `adversarial.top_k`.

    Args:
      share: step -> the share that it learns from, in (0, 1].
    """
    d, g = of_step(loss)

    def best(s):
        return adversarial.top_k(g(s), s.fake_logits, share(s.state.step), axis=axis)

    return OfStep(d, best)
