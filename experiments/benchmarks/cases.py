"""The games that `step_time` measures: networks, loss, batch and optimiser, for JAX."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from experiments import cyclegan
from experiments.pix2pix import absolute, noise
from jaxgan import random, steps
from jaxgan.dynamics import simultaneous_step
from jaxgan.game import Optimizers
from jaxgan.losses import adversarial, penalties
from jaxgan.nets import cyclegan as nets
from jaxgan.nets import dcgan, mlp, pix2pix, resnet
from jaxgan.terms import Term, penalty
from jaxgan.two_player import two_player


class RingNet(nn.Module):
    """The 2-D games' network: two hidden layers of 128, ReLU. [B, n] -> [B, features], or [B]."""

    features: int | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool):
        for _ in range(2):
            x = nn.relu(nn.Dense(128, dtype=self.dtype)(x))
        x = nn.Dense(self.features or 1, dtype=self.dtype)(x)
        return x if self.features else x[:, 0]


@dataclass(frozen=True)
class Case:
    """One game. `layout` says how PyTorch's channels-first arrays are flattened: for a dense layer's
    path, which side of its kernel is an image [H, W, C]."""

    title: str
    aim: float  # how many times as fast as PyTorch's best mode
    networks: Callable  # dtype -> (generator, discriminator)
    shape: tuple[int, ...]  # of one example
    batch: int
    latent: int
    loss: str = "non_saturating"
    penalty: str | None = None
    l1: float | None = None  # of pairs: the weight of the answer's distance to the truth
    n_critic: int = 1
    betas: tuple[float, float] = (0.5, 0.999)
    layout: dict = field(default_factory=dict)

    def game(self, dtype=jnp.float32):
        chosen = {
            None: {},
            "gradient_penalty": {"gp": penalty(penalties.gradient_penalty)},
            "r1": {"r1": penalty(penalties.r1)},
        }
        gan = two_player(
            *self.networks(dtype),
            loss=getattr(adversarial, self.loss),
            latent=partial(random.normal, shape=(self.latent,)) if self.l1 is None else noise,
            condition=None if self.l1 is None else "input",
            d_terms=chosen[self.penalty],
            g_terms={} if self.l1 is None else {"l1": Term(absolute, self.l1)},
        )
        adam = partial(optax.adam, 2e-4, *self.betas)
        return gan, Optimizers(adam(), adam())

    train_step = staticmethod(steps.train_step)

    def batches(self):
        """Real data of one step, [n_critic, B, ...], from a fixed key."""
        shape = (self.n_critic, self.batch, *self.shape)
        slot = jnp.broadcast_to(jnp.arange(self.batch), shape[:2])
        drawn = lambda seed: jnp.tanh(jax.random.normal(jax.random.key(seed), shape))  # noqa: E731
        return {"image": drawn(1), "slot": slot} | ({} if self.l1 is None else {"input": drawn(2)})

    def seen(self, batches) -> list:
        """The real data of batches, and what the players are given beside, if anything."""
        return [batches[name] for name in ("image", "input") if name in batches]


@dataclass(frozen=True)
class Cycle(Case):
    """CycleGAN's two players of two networks each; the pool shows new images until it is full."""

    train_step = staticmethod(simultaneous_step)

    def game(self, dtype=jnp.float32):
        adam = partial(optax.adam, 2e-4, *self.betas)
        cfg = cyclegan.Config(cycle=10.0, identity=0.5, r1=0.0)
        return cyclegan.game(*self.networks(dtype), cfg), Optimizers(adam(), adam())

    def batches(self):
        real = Case.batches(dataclasses.replace(self, l1=1.0))
        return {"a": {"image": real["image"]}, "b": {"image": real["input"]}, "slot": real["slot"]}

    def seen(self, batches) -> list:
        return [batches[side]["image"] for side in "ab"]


_G4 = {"generator/Dense_0": ("out", (4, 4, 256))}
_D4 = {"discriminator/Dense_0": ("in", (4, 4, 256))}
_dcgan32 = dict(shape=(32, 32, 1), batch=64, latent=100, layout={**_G4, **_D4})
_without_norm = lambda t: (  # noqa: E731
    dcgan.Generator(image_size=32, dtype=t),
    dcgan.Discriminator(norm="none", dtype=t),
)

CASES = {
    "a": Case(
        "MLP GAN, 28x28x1, batch 128",
        2.5,
        lambda t: (mlp.Generator((28, 28, 1), dtype=t), mlp.Discriminator(dtype=t)),
        shape=(28, 28, 1),
        batch=128,
        latent=100,
    ),
    "b": Case(
        "DCGAN 32x32x1, width 64, batch 64",
        1.3,
        lambda t: (dcgan.Generator(image_size=32, dtype=t), dcgan.Discriminator(dtype=t)),
        **_dcgan32,
    ),
    "c": Case(
        "DCGAN 64x64x3, width 64, batch 32",
        1.2,
        lambda t: (dcgan.Generator(image_size=64, channels=3, dtype=t), dcgan.Discriminator(dtype=t)),
        shape=(64, 64, 3),
        batch=32,
        latent=100,
        layout={
            "generator/Dense_0": ("out", (4, 4, 512)),
            "discriminator/Dense_0": ("in", (4, 4, 512)),
        },
    ),
    "d": Case(
        "SNGAN residual 32x32x3, width 64, batch 32",
        1.1,
        lambda t: (resnet.Generator(width=64, dtype=t), resnet.Discriminator(width=64, dtype=t)),
        shape=(32, 32, 3),
        batch=32,
        latent=128,
        loss="hinge",
        betas=(0.0, 0.9),
        layout={"generator/Dense_0": ("out", (4, 4, 64))},
    ),
    "e": Case(
        "WGAN-GP on DCGAN 32, 5 critic steps",
        1.2,
        _without_norm,
        loss="wasserstein",
        penalty="gradient_penalty",
        n_critic=5,
        **_dcgan32,
    ),
    "f": Case("R1 on DCGAN 32", 1.2, _without_norm, penalty="r1", **_dcgan32),
    "g": Case(
        "2-D ring, 128-128, batch 256",
        2.0,
        lambda t: (RingNet(2, t), RingNet(dtype=t)),
        shape=(2,),
        batch=256,
        latent=2,
    ),
    "h": Case(
        "pix2pix 64x64x3, width 64, batch 8, without dropout",
        1.2,
        lambda t: (pix2pix.Generator(depth=6, dropout=0.0, dtype=t), pix2pix.Discriminator(dtype=t)),
        shape=(64, 64, 3),
        batch=8,
        latent=0,
        l1=100.0,
    ),
    "i": Cycle(
        "CycleGAN 64x64x3, 6 blocks, width 32, batch 4",
        1.2,
        lambda t: (nets.Generator(32, blocks=6, dtype=t), pix2pix.Discriminator(32, dtype=t)),
        shape=(64, 64, 3),
        batch=4,
        latent=0,
    ),
}
