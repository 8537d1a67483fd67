"""What is added to a player's loss: named functions of one record of what the step has computed.

two_player(..., d_terms={"r1": penalty(penalties.r1, every=16, gamma=1.0),
                         "small": lambda seen: 1e-3 * seen.real_logits**2})
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan import random
from jaxgan.config import InputError
from jaxgan.losses import adversarial, penalties
from jaxgan.losses.adversarial import AdversarialLoss


class Seen(NamedTuple):
    """What a player's step has computed when its terms are taken."""

    critic: Callable  # data [B, ...] -> logits [B, ...], D with the statistics that it has before the step
    # z -> data, in G's step, and what G is called with by name; None in D's, where G stands still
    generate: Callable | None
    real: jax.Array  # [B, ...]; in D's step packed, where D judges packs
    fake: jax.Array  # [B, ...]; as `real`
    real_logits: jax.Array  # [B, ...]
    fake_logits: jax.Array  # [B, ...]
    of_real: Any  # what D says beside its logits; None if it says nothing else
    of_fake: Any
    of_g: Any  # what G says beside its data, in G's step; None if it says nothing else
    z: Any  # what G made the fake from
    batch: dict  # the real batch as it came
    key: jax.Array  # of this update
    slot: jax.Array  # i32[B], the examples' (in D's step the packs') places in the global batch
    state: Any  # before the update
    params: Any = None  # of the player whose step it is, in which the loss is differentiated


class Term(NamedTuple):
    """A term of a loss; `weight * of(seen)` in the mean over the batch.

    With several updates of D in a step, each counts for a lazy term's step, and each moves what is carried.
    """

    of: Callable  # Seen -> [B], or f32[] of what is no example's; with `start`, (Seen, carried) -> the same
    weight: Any = 1.0  # or step -> its weight then
    every: int = 1  # taken in one step of so many, and so many times as heavy (lazy regularisation)
    start: Any = None  # what it carries in `state.extra` before the first step; None: nothing
    # (Seen, carried) -> carried, each step; None: `of` makes a pair with it, in the steps that it is taken in
    carry: Callable | None = None


def weighs(weight) -> bool:
    """Whether there is a term at all: of a number above 0, and of each traced weight, as a sweep's."""
    return isinstance(weight, jax.core.Tracer) or weight > 0


class OfStep(NamedTuple):
    """A pair of adversarial losses that see all of the step, in the place of its logits alone."""

    d: Callable  # Seen -> [B]
    g: Callable  # Seen -> [B]
    chance: Any = 0.0  # as of AdversarialLoss


def _takes(what: str, f, *args: str) -> None:
    """Raises InputError unless f can be called with so many arguments."""
    if not callable(f):
        raise InputError(f"{what} is a function of ({', '.join(args)}), not {random.kind_of(f)}")
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args)
    except TypeError as e:
        raise InputError(f"{what} is called with ({', '.join(args)}): {e}") from e


def finite(what: str, value, low: float = -math.inf) -> None:
    """Raises InputError if a number, known when the program is traced, is not finite or below `low`."""
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= low):
        raise InputError(
            f"{what} is {value}: it must be a finite number" + f" of {low} or more" * (low > -math.inf)
        )


def of_step(loss: AdversarialLoss | OfStep) -> OfStep:
    """The loss as functions of what is seen.

    Raises:
      InputError: if it is no pair of functions of its arguments.
    """
    if not isinstance(loss, AdversarialLoss | OfStep):
        raise InputError(
            f"a loss is a pair of functions, as AdversarialLoss(d, g), not {random.kind_of(loss)}"
        )
    if isinstance(loss, OfStep):
        return loss
    for who in "dg":
        _takes(f"the loss's {who}", getattr(loss, who), "real_logits", "fake_logits")
    d, g = (lambda seen, f=f: f(seen.real_logits, seen.fake_logits) for f in (loss.d, loss.g))
    return OfStep(d, g, loss.chance)


def named(terms: Mapping[str, Term | Callable]) -> dict[str, Term]:
    """The terms, a plain function among them as one of weight 1.

    Raises:
      InputError: if one is no function of what is seen, or its weight or `every` cannot be.
    """
    if not isinstance(terms, Mapping):
        raise InputError(f"terms are a dict by the names of their figures, not {random.kind_of(terms)}")
    terms = {name: term if isinstance(term, Term) else Term(term) for name, term in terms.items()}
    for name, term in terms.items():
        if term.start is None and term.carry is not None:
            raise InputError(f"term {name!r}: `carry` moves what it carries, which `start` is the first of")
        carried = () if term.start is None else ("carried",)
        _takes(f"term {name!r} (a penalty goes in by terms.penalty)", term.of, "seen", *carried)
        if callable(term.weight):
            _takes(f"term {name!r}: its weight", term.weight, "step")
        finite(f"term {name!r}: its weight", term.weight)
        if not hasattr(term.every, "__index__") or isinstance(term.every, bool) or term.every < 1:
            raise InputError(
                f"term {name!r}: `every` is a whole number of steps, 1 or more, not {term.every!r}"
            )
    return terms


def mean(what: str, value, *sizes: int):
    """The mean of [B] numbers, f32[].

    Raises:
      InputError: if there is not one number for each of the examples, of which there are one of the sizes.
    """
    if getattr(value, "shape", None) not in [(n,) for n in sizes]:
        raise InputError(f"{what} is one number an example, [{sizes[0]}], and not {random.kind_of(value)}")
    return value.mean()


def taken(terms: dict[str, Term], seen: Seen) -> tuple[dict, Any]:
    """Each term's weighted mean, 0 in the steps that leave it out, and `state.extra` after the step."""
    values, extra = {}, seen.state.extra
    for name, term in terms.items():
        carried = () if term.start is None else (seen.state.extra[name],)

        def value(name=name, term=term, carried=carried):
            found = term.of(seen, *carried)
            after = carried
            if carried and term.carry is None:
                if not (isinstance(found, tuple) and len(found) == 2):
                    raise InputError(
                        f"term {name!r}: `start` and `carry` go together, or `of` makes (value, carried)"
                    )
                found, *after = found
            sizes = len(seen.real_logits), len(seen.slot)
            total = found if np.ndim(found) == 0 else mean(f"term {name!r}", found, *sizes)
            weight = term.weight(seen.state.step) if callable(term.weight) else term.weight
            return weight * term.every * total, tuple(lax.stop_gradient(after))

        if term.every > 1:
            skip = lambda carried=carried: (0.0, carried)  # noqa: E731
            values[name], carried = lax.cond(seen.state.step % term.every == 0, value, skip)
        else:
            values[name], carried = value()
        if carried:
            moved = carried[0] if term.carry is None else lax.stop_gradient(term.carry(seen, *carried))
            extra = extra | {name: moved}
    return values, extra


def _in_the_step_of(who: str, seen: Seen) -> None:
    if (seen.generate is None) != (who == "d"):
        raise InputError(f"a term of {who.upper()} alone is one of {who}_terms")


def _of_options(options: dict) -> None:
    for name, value in options.items():
        finite(name, value)


def penalty(of: Callable, *, every: int = 1, **options) -> Term:
    """A penalty on D, as in `jaxgan.losses.penalties`: (critic, real, fake, key, slot, **options) -> [B].

    Where D compares the examples of a batch (`jaxgan.nn.minibatch`), as StyleGAN's does, the gradient in an
    example is of all logits, the others' too; of batch normalisation `two_player` warns. Of a pack it is the
    pack's own.
    """
    _of_options(options)

    def of_d(s):
        _in_the_step_of("d", s)
        return of(s.critic, s.real, s.fake, s.key, s.slot, **options)

    return Term(of_d, every=every)


def approximate(of: Callable, *, every: int = 1, **options) -> Term:
    """`penalties.approximate_r1` or `approximate_r2`, which is given the logits that the step has. Of a D
    with statistics of its own, which move from pass to pass, it takes them anew. A D that draws random
    numbers (`nn.Dropout`) would be another one in both passes: take `penalty` for it."""
    _of_options(options)
    known = {penalties.approximate_r1: "real_logits", penalties.approximate_r2: "fake_logits"}[of]

    def of_d(s):
        _in_the_step_of("d", s)
        logits = None if s.state.d.stats else getattr(s, known)
        return of(s.critic, s.real, s.fake, s.key, s.slot, logits=logits, **options)

    return Term(of_d, every=every)


def g_penalty(of: Callable, *, every: int = 1, **options) -> Term:
    """A penalty on G: (generate, z, fake, key, slot, **options) -> [B]."""
    _of_options(options)

    def of_g(s):
        _in_the_step_of("g", s)
        return of(s.generate, s.z, s.fake, s.key, s.slot, **options)

    return Term(of_g, every=every)


def over_scales(loss: AdversarialLoss) -> OfStep:
    """The loss of a D that says ((logits, maps), ...) of several scales beside: the mean over these of each
    scale's own (Wang et al. 2018, equation 4, over their number)."""

    def part(of: Callable):
        def mean_of(seen):
            scales = zip(seen.of_real, seen.of_fake, strict=True)
            return jnp.stack([of(real, fake) for (real, _), (fake, _) in scales]).mean(0)

        return mean_of

    return OfStep(part(loss.d), part(loss.g), loss.chance)


def feature_matching(seen: Seen):
    """How far D's inner maps of the fake are from those of the real: the mean absolute difference of each
    map, summed over the maps of a scale and in the mean over the scales, [B] (Wang et al. 2018, equation 5,
    over their number). It is a term of G alone, in whose step D, and so the real maps, stand still."""
    _in_the_step_of("g", seen)
    apart = lambda x, y: jnp.abs(x - y).reshape(len(x), -1).mean(1)  # noqa: E731
    scales = zip(seen.of_real, seen.of_fake, strict=True)
    each = [sum(map(apart, fake, real)) for (_, real), (_, fake) in scales]
    return jnp.stack(each).mean(0)


def lecam(weight, *, decay: float = 0.99, axis: str | None = None) -> Term:
    """`penalties.lecam`, with the moving averages of D's mean logits, from 0, as anchors.

    They move once an update of D, by the whole batch's means, and so n_critic times a step.

    Args:
      decay: of the anchors; the default is that of Tseng et al. 2021, in their StyleGAN2 code.
      axis: the name of the device axis, if there is one.
    """

    def carry(s, anchors):
        _in_the_step_of("d", s)
        means = jnp.stack([s.real_logits.mean(), s.fake_logits.mean()])
        return decay * anchors + (1 - decay) * (means if axis is None else lax.pmean(means, axis))

    def of(s, anchors):
        return penalties.lecam(s.real_logits, s.fake_logits, *anchors)

    return Term(of, weight, start=jnp.zeros(2), carry=carry)


def style_path_length(
    layers: int,
    styles: int,
    *,
    weight: Any = 2.0,
    decay: float = 0.01,
    every: int = 1,
    axis: str | None = None,
) -> Term:
    """weight (length - mean)^2, G's path length regularisation in its styles w [B, layers, styles] (Karras et
    al. 2020, section 3.2 and equation 4).

    An image's length is ||J' y|| of its slope J in w, for a random image y of variance 1 / pixels, as the
    root of the mean over layers of the sum over styles. The mean, from 0, moves towards the batch's by
    `decay` before it is used, and the gradient takes it for a constant. G takes `shift`, which it adds to w.

    Args:
      axis: the name of the device axis, if there is one.
    """

    def of(s, mean):
        _in_the_step_of("g", s)
        shift = jnp.zeros((len(s.slot), layers, styles))
        at = lambda shift: s.generate(s.z, shift=shift)  # noqa: E731
        lengths = penalties.path_lengths(at, shift, s.key, s.slot) / math.sqrt(layers)
        now = lax.stop_gradient(lengths).mean()
        mean = mean + decay * ((now if axis is None else lax.pmean(now, axis)) - mean)
        return jnp.square(lengths - mean), mean

    return Term(of, weight, every, start=jnp.zeros(()))


def flipped(loss: AdversarialLoss | OfStep, probability) -> OfStep:
    """The loss, with an example's (a pack's) real and fake logits exchanged by chance in D's part."""
    loss = of_step(loss)
    finite("the probability of a flip", probability, 0)

    def d(s):
        some = random.uniform(random.fold(s.key, "flip"), s.slot) < probability
        real, fake = adversarial.flip(s.real_logits, s.fake_logits, some)
        return loss.d(s._replace(real_logits=real, fake_logits=fake))

    return loss._replace(d=d)


def top_k(loss: AdversarialLoss | OfStep, share: Callable, *, axis: str | None = None) -> OfStep:
    """The loss, of which G learns from the batch's best samples (packs) alone: `adversarial.top_k`.

    Where the batch is cut into microbatches, they are each microbatch's best.

    Args:
      share: step -> the share that it learns from, in (0, 1].
    """
    _takes("top_k's share", share, "step")
    loss = of_step(loss)

    def best(s):
        return adversarial.top_k(loss.g(s), s.fake_logits, share(s.state.step), axis=axis)

    return loss._replace(g=best)
