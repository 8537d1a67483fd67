"""The ordinary pair, one generator against one discriminator, as a GAN."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgan import random
from jaxgan.game import GAN
from jaxgan.losses import adversarial
from jaxgan.losses import penalties as penalty_functions
from jaxgan.losses.adversarial import AdversarialLoss, accuracy
from jaxgan.nn import minibatch
from jaxgan.random import fold

_NONE = MappingProxyType({})
LECAM_DECAY = 0.99  # of the anchors, as in the StyleGAN2 code of Tseng et al. 2021


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
    loss: AdversarialLoss,
    latent: Callable,
    condition: str | None = None,
    penalties: Mapping[str, Callable] = _NONE,
    g_penalties: Mapping[str, Callable] = _NONE,
    every: Mapping[str, int] = _NONE,
    pack: int = 1,
    flip: float | None = None,
    top_k: Callable | None = None,
    lecam: float | None = None,
    d_auxiliary: Callable | None = None,
    g_auxiliary: Callable | None = None,
    axis: str | None = None,
) -> GAN:
    """Joins two networks and a loss.

    Both steps see G in training mode, so D judges the generator that G is. G's running statistics
    are updated in G's step alone, D's in D's step alone: first on the real batch, then on the fake,
    which D sees apart.

    Args:
      generator: called as `(z, *condition, train=...)`, makes images.
      discriminator: called as `(images, *condition, train=...)`, makes logits [B, ...], or a pair of
        them and of what else it says (classes, codes).
      latent: (key, slot) -> z.
      condition: the entry of the batch that both networks are given, for example "label".
      penalties: what is added to D's loss, by the name of its metric: functions as in
        `jaxgan.losses.penalties`. They see D with the statistics that it has before the step.
      g_penalties: the same for G's loss.
      every: by a penalty's name, that it is taken in one step of n, and n times as heavy (lazy
        regularisation, Karras et al. 2020, section 3.1).
      pack: how many examples D judges together (PacGAN: Lin et al. 2018); all of D's inputs
        are packed, and so a penalty's norm is a pack's.
      flip: the probability with which an example's (a pack's) real and fake change sides in D's loss.
      top_k: step -> the share of the batch's samples (packs), the best, that G learns from.
      lecam: the weight of `penalties.lecam`, with anchors carried in the state, from 0.
      d_auxiliary: (said of real, said of fake, batch, z) -> {name: [B]}, what is added to D's loss for
        what else D says.
      g_auxiliary: (said of fake, batch, z) -> {name: [B]}, the same for G's loss.
      axis: the name of the device axis, if there is one.

    Raises:
      ValueError: if `every` names no penalty, or a packed D were to be given a condition.
    """
    if pack > 1 and condition is not None:
        raise ValueError("pack: a condition cannot be packed, since the examples of a pack differ in it")
    unknown = set(every) - {*penalties, *g_penalties}
    if unknown:
        raise ValueError(f"every: no penalty is named {', '.join(sorted(unknown))}")

    def given(batch):
        return () if condition is None else (batch[condition],)

    def packed(x):
        return minibatch.pack(x, pack) if pack > 1 else x

    def taken(terms, step, *args):
        """Each penalty's mean; 0 in the steps that leave it out."""
        values = {}
        for name, penalty in terms.items():
            n = every.get(name, 1)
            value = lambda p=penalty, n=n: n * p(*args).mean()  # noqa: E731
            values[name] = value() if n == 1 else lax.cond(step % n == 0, value, lambda: 0.0)
        return values

    def init(key, batch):
        z = latent(fold(key, "latent"), batch["slot"])
        g = generator.init(fold(key, "g"), z, *given(batch), train=True)
        d = discriminator.init(fold(key, "d"), packed(batch["image"]), *given(batch), train=True)
        return g, d, () if lecam is None else {"lecam": jnp.zeros(2)}

    def d_loss(params, state, batch, key):
        z = latent(fold(key, "latent"), batch["slot"])
        fake, _ = _apply(generator, state.g.params, state.g.stats, z, *given(batch))
        real, fake, slot = packed(batch["image"]), packed(fake), batch["slot"][::pack]
        judge = partial(_judge, discriminator, params)
        real_logits, of_real, stats = judge(state.d.stats, real, *given(batch))
        fake_logits, of_fake, stats = judge(stats, fake, *given(batch))
        metrics = {
            "accuracy_real": accuracy(real_logits, real=True).mean(),
            "accuracy_fake": accuracy(fake_logits, real=False).mean(),
        }

        def critic(x):
            return judge(state.d.stats, x, *given(batch))[0]

        sides = real_logits, fake_logits
        if flip is not None:
            flipped = random.uniform(fold(key, "flip"), slot) < flip
            sides = adversarial.flip(*sides, flipped)
        terms = taken(penalties, state.step, critic, real, fake, key, slot)
        if d_auxiliary is not None:
            terms |= {name: x.mean() for name, x in d_auxiliary(of_real, of_fake, batch, z).items()}
        extra = state.extra
        if lecam is not None:
            anchors = extra["lecam"]
            terms["lecam"] = lecam * penalty_functions.lecam(real_logits, fake_logits, *anchors).mean()
            means = lax.stop_gradient(jnp.stack([real_logits.mean(), fake_logits.mean()]))
            means = means if axis is None else lax.pmean(means, axis)
            extra = {"lecam": LECAM_DECAY * anchors + (1 - LECAM_DECAY) * means}
        total = loss.d(*sides).mean() + sum(terms.values())
        return total, (state.replace(d=state.d.replace(stats=stats), extra=extra), metrics | terms)

    def g_loss(params, state, batch, key):
        z = latent(fold(key, "latent"), batch["slot"])

        def generate(z):
            return _apply(generator, params, state.g.stats, z, *given(batch))

        fake, stats = generate(z)
        judge = partial(_judge, discriminator, state.d.params, state.d.stats)
        (real_logits, *_), (fake_logits, said, _) = (
            judge(packed(x), *given(batch)) for x in (batch["image"], fake)
        )
        losses = loss.g(real_logits, fake_logits)
        if top_k is not None:
            losses = adversarial.top_k(losses, fake_logits, top_k(state.step), axis=axis)
        terms = taken(g_penalties, state.step, lambda z: generate(z)[0], z, fake, key, batch["slot"])
        if g_auxiliary is not None:
            terms |= {name: x.mean() for name, x in g_auxiliary(said, batch, z).items()}
        state = state.replace(g=state.g.replace(stats=stats))
        return losses.mean() + sum(terms.values()), (state, terms)

    def sample(variables, z, label=None):
        inputs = () if condition is None else (jnp.asarray(label),)
        return generator.apply(variables, z, *inputs, train=False)

    return GAN(init, d_loss, g_loss, latent, sample)
