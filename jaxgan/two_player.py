"""The ordinary pair, one generator against one discriminator, as a GAN."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from flax import linen as nn

from jaxgan.game import GAN
from jaxgan.losses.adversarial import AdversarialLoss, accuracy
from jaxgan.random import fold


def _apply(net: nn.Module, params, stats, *args):
    """The network in training mode: (output, its new stats)."""
    return net.apply({"params": params, **stats}, *args, train=True, mutable=list(stats))


def two_player(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    loss: AdversarialLoss,
    latent: Callable,
    condition: str | None = None,
    penalties: Mapping[str, Callable] = MappingProxyType({}),
) -> GAN:
    """Joins two networks and a loss.

    Both steps see G in training mode, so D judges the generator that G is. G's running statistics
    are updated in G's step alone, D's in D's step alone: first on the real batch, then on the fake,
    which D sees apart.

    Args:
      generator: called as `(z, *condition, train=...)`, makes images.
      discriminator: called as `(images, *condition, train=...)`, makes logits [B, ...].
      latent: (key, slot) -> z.
      condition: the entry of the batch that both networks are given, for example "label".
      penalties: what is added to D's loss, by the name of its metric: functions as in
        `jaxgan.losses.penalties`. They see D with the statistics that it has before the step.
    """

    def given(batch):
        return () if condition is None else (batch[condition],)

    def init(key, batch):
        z = latent(fold(key, "latent"), batch["slot"])
        g = generator.init(fold(key, "g"), z, *given(batch), train=True)
        d = discriminator.init(fold(key, "d"), batch["image"], *given(batch), train=True)
        return g, d, ()

    def d_loss(params, state, batch, key):
        z = latent(fold(key, "latent"), batch["slot"])
        fake, _ = _apply(generator, state.g.params, state.g.stats, z, *given(batch))
        real_logits, stats = _apply(discriminator, params, state.d.stats, batch["image"], *given(batch))
        fake_logits, stats = _apply(discriminator, params, stats, fake, *given(batch))
        metrics = {
            "accuracy_real": accuracy(real_logits, real=True).mean(),
            "accuracy_fake": accuracy(fake_logits, real=False).mean(),
        }

        def critic(x):
            return _apply(discriminator, params, state.d.stats, x, *given(batch))[0]

        total = loss.d(real_logits, fake_logits).mean()
        for name, penalty in penalties.items():
            metrics[name] = penalty(critic, batch["image"], fake, key, batch["slot"]).mean()
            total += metrics[name]
        return total, (state.replace(d=state.d.replace(stats=stats)), metrics)

    def g_loss(params, state, batch, key):
        z = latent(fold(key, "latent"), batch["slot"])
        fake, stats = _apply(generator, params, state.g.stats, z, *given(batch))
        logits, _ = _apply(discriminator, state.d.params, state.d.stats, fake, *given(batch))
        state = state.replace(g=state.g.replace(stats=stats))
        return loss.g(logits).mean(), (state, {})

    def sample(variables, z, label=None):
        inputs = () if condition is None else (jnp.asarray(label),)
        return generator.apply(variables, z, *inputs, train=False)

    return GAN(init, d_loss, g_loss, latent, sample)
