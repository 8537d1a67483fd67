"""The ordinary pair, one generator against one discriminator, as a GAN."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from flax import linen as nn

from jaxgan import terms
from jaxgan.game import GAN
from jaxgan.losses.adversarial import AdversarialLoss, accuracy
from jaxgan.nn import minibatch
from jaxgan.random import fold
from jaxgan.terms import OfStep, Seen, Term

_NONE = MappingProxyType({})
FIGURES = "accuracy_real", "accuracy_fake"  # of D, beside its loss and its terms


def _apply(net: nn.Module, params, stats, *args):
    """The network in training mode: (output, its new stats)."""
    return net.apply({"params": params, **stats}, *args, train=True, mutable=list(stats))


def _judge(net: nn.Module, params, stats, *args):
    """D in training mode: (logits, what else it says, its new stats)."""
    said, stats = _apply(net, params, stats, *args)
    return *(said if isinstance(said, tuple) else (said, None)), stats


def two_player(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    loss: AdversarialLoss | OfStep,
    latent: Callable,
    of: str = "image",
    condition: str | None = None,
    d_terms: Mapping[str, Term | Callable] = _NONE,
    g_terms: Mapping[str, Term | Callable] = _NONE,
    pack: int = 1,
) -> GAN:
    """Joins two networks and a loss.

    Both steps see G in training mode, so D judges the generator that G is. G's running statistics
    are updated in G's step alone, D's in D's step alone: first on the real batch, then on the fake,
    which D sees apart.

    Args:
      generator: called as `(z, *condition, train=...)`, makes data.
      discriminator: called as `(data, *condition, train=...)`, makes logits [B, ...], or a pair of
        them and of what else it says (classes, codes).
      latent: (key, slot) -> z.
      of: the entry of the batch that G makes more of.
      condition: the entry of the batch that both networks are given, for example "label".
      d_terms: what is added to D's loss, by the name of its metric; see `jaxgan.terms`.
      g_terms: the same for G's loss.
      pack: how many examples D judges together (PacGAN: Lin et al. 2018); all of D's inputs
        are packed, and so a penalty's norm is a pack's.

    Raises:
      ValueError: if a packed D were to be given a condition, two terms carry something by one name, or one
        has the name of another figure.
    """
    if pack > 1 and condition is not None:
        raise ValueError("pack: a condition cannot be packed, since the examples of a pack differ in it")
    loss, d_terms, g_terms = terms.of_step(loss), terms.named(d_terms), terms.named(g_terms)
    if taken := {"loss", *FIGURES} & set(d_terms) | {"loss"} & set(g_terms):
        raise ValueError(f"a term is named {min(taken)!r}, as another figure is: give it another name")
    carrying = [(k, t.start) for ts in (d_terms, g_terms) for k, t in ts.items() if t.start is not None]
    if len(dict(carrying)) < len(carrying):
        raise ValueError("two terms carry something by one name: give one of them another")

    def given(batch):
        return () if condition is None else (batch[condition],)

    def packed(x):
        return minibatch.pack(x, pack) if pack > 1 else x

    def init(key, batch):
        z = latent(fold(key, "latent"), batch["slot"])
        g = generator.init(fold(key, "g"), z, *given(batch), train=True)
        d = discriminator.init(fold(key, "d"), packed(batch[of]), *given(batch), train=True)
        return g, d, dict(carrying) or ()

    def d_loss(params, state, batch, key):
        z = latent(fold(key, "latent"), batch["slot"])
        fake, _ = _apply(generator, state.g.params, state.g.stats, z, *given(batch))
        real, fake = packed(batch[of]), packed(fake)
        judge = partial(_judge, discriminator, params)
        real_logits, of_real, stats = judge(state.d.stats, real, *given(batch))
        fake_logits, of_fake, stats = judge(stats, fake, *given(batch))
        sides = accuracy(real_logits, real=True), accuracy(fake_logits, real=False)
        metrics = {name: side.mean() for name, side in zip(FIGURES, sides, strict=True)}
        critic = lambda x: judge(state.d.stats, x, *given(batch))[0]  # noqa: E731
        slot = batch["slot"][::pack]
        logits = real_logits, fake_logits
        seen = Seen(critic, None, real, fake, *logits, of_real, of_fake, z, batch, key, slot, state)
        added, extra = terms.taken(d_terms, seen)
        total = loss.d(seen).mean() + sum(added.values())
        return total, (state.replace(d=state.d.replace(stats=stats), extra=extra), metrics | added)

    def g_loss(params, state, batch, key):
        z, real = latent(fold(key, "latent"), batch["slot"]), batch[of]
        generate = lambda z: _apply(generator, params, state.g.stats, z, *given(batch))  # noqa: E731
        fake, stats = generate(z)
        judge = lambda x: _judge(discriminator, state.d.params, state.d.stats, packed(x), *given(batch))  # noqa: E731
        (real_logits, of_real, _), (fake_logits, of_fake, _) = judge(real), judge(fake)
        players = lambda x: judge(x)[0], lambda z: generate(z)[0]
        said = real_logits, fake_logits, of_real, of_fake
        seen = Seen(*players, real, fake, *said, z, batch, key, batch["slot"], state)
        added, extra = terms.taken(g_terms, seen)
        total = loss.g(seen).mean() + sum(added.values())
        return total, (state.replace(g=state.g.replace(stats=stats), extra=extra), added)

    def sample(variables, z, asked=None):
        return generator.apply(variables, z, *(() if condition is None else (asked,)), train=False)

    def critic(variables, x, asked=None):
        given = () if condition is None else (asked,)
        said = discriminator.apply(variables, packed(x), *given, train=False)
        return said[0] if isinstance(said, tuple) else said

    return GAN(init, d_loss, g_loss, latent, sample, critic, condition)
