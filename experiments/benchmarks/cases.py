"""The games that `step_time` measures: networks, loss, batch and optimiser, for JAX."""

import dataclasses
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from experiments import cyclegan, progan, r3gan, stylegan2
from experiments.pix2pix import absolute, noise
from jaxgan import random, steps
from jaxgan.dynamics import simultaneous_step
from jaxgan.game import Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses import adversarial, penalties
from jaxgan.methods import method_of
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
    """One game. `layout` says how PyTorch's channels-first arrays are kept: for a dense layer's path, which
    side of its kernel is an image [H, W, C]; for a convolution's, whether it is a transposed one's."""

    title: str
    aim: float  # how many times as fast as PyTorch's best mode
    _: KW_ONLY
    shape: tuple[int, ...]  # of one example
    batch: int
    latent: int
    n_critic: int = 1
    layout: dict = field(default_factory=dict)
    in_torch: str = "in_torch"  # the module beside this one that has PyTorch's side
    start: int = 0  # the first step that is like those after it
    period: int = 1  # steps in which each lazy term has had its turns
    compiles = True  # whether PyTorch can compile a loss: not through a second derivative

    train_step = staticmethod(steps.train_step)

    def lazy(self, dtype=jnp.float32) -> dict:
        """The losses that have updates of their own in some steps: name -> (who, loss as a GAN's)."""
        return {}

    def batches(self):
        """Real data of one step, [n_critic, B, ...], from a fixed key."""
        shape = (self.n_critic, self.batch, *self.shape)
        slot = jnp.broadcast_to(jnp.arange(self.batch), shape[:2])
        return {"image": self.noise(1, shape), "slot": slot}

    @staticmethod
    def noise(seed, shape):
        """Numbers in [-1, 1] for images."""
        return jnp.tanh(jax.random.normal(jax.random.key(seed), shape))

    def seen(self, batches) -> list:
        """The real data of batches, and what the players are given beside, if anything."""
        return [batches[name] for name in ("image", "input") if name in batches]

    def drawn(self, gan, key, slot) -> dict:
        """What the losses draw from a key, by PyTorch's names."""
        z = gan.latent(random.fold(key, "latent"), slot) if self.latent else jnp.zeros(len(slot))
        return {"z": z, "mix": random.uniform(random.fold(key, "interpolate"), slot)}


@dataclass(frozen=True)
class Pair(Case):
    """Two networks and a loss."""

    networks: Callable  # dtype -> (generator, discriminator)
    _: KW_ONLY
    loss: str = "non_saturating"
    penalty: str | None = None
    l1: float | None = None  # of pairs: the weight of the answer's distance to the truth
    betas: tuple[float, float] = (0.5, 0.999)

    @property
    def compiles(self) -> bool:
        return self.penalty is None

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

    def batches(self):
        real = super().batches()
        return real | ({} if self.l1 is None else {"input": self.noise(2, real["image"].shape)})


@dataclass(frozen=True)
class Cycle(Pair):
    """CycleGAN's two players of two networks each; the pool shows new images until it is full."""

    train_step = staticmethod(simultaneous_step)

    def game(self, dtype=jnp.float32):
        adam = partial(optax.adam, 2e-4, *self.betas)
        cfg = cyclegan.Config(cycle=10.0, identity=0.5, r1=0.0)
        return cyclegan.game(*self.networks(dtype), cfg), Optimizers(adam(), adam())

    def batches(self):
        real = Pair.batches(dataclasses.replace(self, l1=1.0))
        return {"a": {"image": real["image"]}, "b": {"image": real["input"]}, "slot": real["slot"]}

    def seen(self, batches) -> list:
        return [batches[side]["image"] for side in "ab"]


@dataclass(frozen=True)
class Experiment(Case):
    """A game as an experiment makes it, with its lazy terms, its rates and its average of G."""

    module: ModuleType
    config: Any

    def method(self):
        return method_of(self.module, images)

    def cfg(self, dtype=jnp.float32):
        return dataclasses.replace(self.config, batch_size=self.batch, dtype=jnp.dtype(dtype).name)

    def game(self, dtype=jnp.float32):
        return self.method().make(self.cfg(dtype))

    def train_step(self, *args, **options):
        return self.method().train_step(self.cfg())(*args, **options)


@dataclass(frozen=True)
class Style(Experiment):
    """StyleGAN2, whose regularisers have updates of their own."""

    def lazy(self, dtype=jnp.float32) -> dict:
        lazy = stylegan2.regularisers(self.cfg(dtype))
        return {"path_length": ("g", lazy.g_loss), "r1": ("d", lazy.d_loss)}

    def drawn(self, gan, key, slot) -> dict:
        drawing = random.fold(key, "drawing")
        pixels = 16 + 2 * sum(4**level for level in range(3, self.shape[0].bit_length()))
        return {
            "z": gan.latent(random.fold(key, "latent"), slot),
            "other": random.normal(random.fold(drawing, "other"), slot, (self.latent,)),
            "mixing": random.uniform(random.fold(drawing, "mixing"), slot, (2,)),
            "noise": random.normal(random.fold(drawing, "noise"), slot, (pixels,)),
            "path": random.normal(random.fold(key, "path"), slot, self.shape),
        }


_G4 = {"generator/Dense_0": ("out", (4, 4, 256))}
_D4 = {"discriminator/Dense_0": ("in", (4, 4, 256))}
_dcgan32 = dict(shape=(32, 32, 1), batch=64, latent=100, layout={**_G4, **_D4})
_without_norm = lambda t: (  # noqa: E731
    dcgan.Generator(image_size=32, dtype=t),
    dcgan.Discriminator(norm="none", dtype=t),
)

CASES = {
    "a": Pair(
        "MLP GAN, 28x28x1, batch 128",
        2.5,
        lambda t: (mlp.Generator((28, 28, 1), dtype=t), mlp.Discriminator(dtype=t)),
        shape=(28, 28, 1),
        batch=128,
        latent=100,
    ),
    "b": Pair(
        "DCGAN 32x32x1, width 64, batch 64",
        1.3,
        lambda t: (dcgan.Generator(image_size=32, dtype=t), dcgan.Discriminator(dtype=t)),
        **_dcgan32,
    ),
    "c": Pair(
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
    "d": Pair(
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
    "e": Pair(
        "WGAN-GP on DCGAN 32, 5 critic steps",
        1.2,
        _without_norm,
        loss="wasserstein",
        penalty="gradient_penalty",
        n_critic=5,
        **_dcgan32,
    ),
    "f": Pair("R1 on DCGAN 32", 1.2, _without_norm, penalty="r1", **_dcgan32),
    "g": Pair(
        "2-D ring, 128-128, batch 256",
        2.0,
        lambda t: (RingNet(2, t), RingNet(dtype=t)),
        shape=(2,),
        batch=256,
        latent=2,
    ),
    "h": Pair(
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
    "j": Style(
        "StyleGAN2 32x32x3, width 64, batch 16",
        1.3,
        stylegan2,
        stylegan2.Config(image_size=32, channels=3, width=64),
        shape=(32, 32, 3),
        batch=16,
        latent=64,
        layout={"discriminator/dense": ("in", (4, 4, 64))}
        | {f"generator/synthesis/conv{size}_up": ("transposed", (3, 3, 64)) for size in (8, 16, 32)},
        in_torch="stylegan2_in_torch",
        period=16,
    ),
    "k": Experiment(
        "ProGAN 32x32x3, grown, width 32, batch 16",
        1.3,
        progan,
        progan.Config(image_size=32, channels=3, most=128, latent=64, stable=1, fade=0),
        shape=(32, 32, 3),
        batch=16,
        latent=64,
        layout={
            "generator/dense": ("out", (4, 4, 128)),
            "discriminator/dense": ("in", (4, 4, 128)),
        },
        in_torch="progan_in_torch",
        start=1,
    ),
    "l": Experiment(
        "R3GAN 32x32x3, width 64, batch 16",
        1.3,
        r3gan,
        r3gan.Config(networks="r3gan", image_size=32, channels=3, width=64, latent=64),
        shape=(32, 32, 3),
        batch=16,
        latent=64,
        in_torch="r3gan_in_torch",
    ),
}
