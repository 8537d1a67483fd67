"""CycleGAN (Zhu et al. 2017, https://arxiv.org/abs/1703.10593): from one domain to another and back, without
pairs.

    python -m experiments.cyclegan
    python -m experiments.cyclegan --data npz:emoji.npz --arrays image,other
    python -m experiments.cyclegan --cycle 0

Two domains of drawings of 32 pixels, of 10,000 each: red circles, green squares and blue triangles against
orange, teal and violet ones on a board. 300 of each are held out, with their partners; medians and ranges of
seeds 0 to 2, by `jaxgan sweep cyclegan --set cycle=60,0 --seeds 3`, in 20 minutes beside other work on two
cores of an AMD EPYC (family 25 model 17). To its partner the image itself has an l1 of 0.0800, the mean image
of b 0.0947; `fcd` is the Frechet distance of a classifier's features.

| | l1 | cycle_l1 | kinds right | fcd |
|---|---|---|---|---|
| CycleGAN | 0.0125 (0.0122 to 0.0127) | 0.0102 (0.0097 to 0.0104) | 1.00 | 18.7 (16.3 to 18.9) |
| without cycles | 0.110 (0.110 to 0.117) | 0.111 (0.108 to 0.124) | 0.33 | 13,350 (12,950 to 14,670) |

Without cycles all images get one answer. The weights and the slope's penalty are set once for these domains.
Where a kind's colour in b was the complement of its own in a, two of three seeds exchanged kinds for good,
and other weights did not mend it.

Emoji of one hand and of another (Noto, Twemoji), of each thing one hand's alone, 200 held out, seed 0 in 4
minutes: to the partner an l1 of 0.1585, of the image itself 0.1640, of the mean image 0.2385; cycle_l1 0.064;
the Frechet distance of cell means to b 1.56, of the images themselves 2.08, of held-out ones of b 0.83.

Published: FCN scores on Cityscapes, labels to photographs, 0.52 per pixel; without the game 0.22, without
cycles 0.51.
"""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgan import pool, train
from jaxgan.config import Count, Natural, Rate, Seed
from jaxgan.data import resident
from jaxgan.dynamics import simultaneous_step
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.domains import domains
from jaxgan.losses.adversarial import least_squares
from jaxgan.losses.penalties import r1
from jaxgan.nets import cyclegan, pix2pix
from jaxgan.random import fold
from jaxgan.terms import weighs


@dataclass(frozen=True)
class Config:
    """CycleGAN."""

    data: str = "shapes"  # shapes, folder:PATH with trainA and trainB, npz:PATH of pairs, or SPEC;SPEC
    backwards: bool = False  # b is given and a asked for
    arrays: str = "a,b"  # A and B in an npz file
    held_out: Count = 300  # images of each that are not trained on
    image_size: Count = 32  # pixels a side
    channels: int | None = None  # 1 or 3; the data's own if not given
    batch_size: Count = 4  # images of each domain in one update; 1 in the paper
    steps: Natural = 2500  # updates of both players
    seed: Seed = 0  # of the run's key
    lr: Rate = 1e-3  # for half of the steps, and from there down to 0; the paper's is 2e-4
    cycle: Rate = 60.0  # the paper's 10
    identity: Rate = 0.5  # of the weight of the cycle
    r1: Rate = 1.0  # of the slope of D at what is real; the paper has none
    pool: Count = 50  # generated images of the past
    g_width: Count = 16  # channels of a generator's first layer; 64 in the paper
    d_width: Count = 32  # channels of a discriminator's first layer; 64 in the paper
    blocks: Natural = 3  # residual blocks of a generator; 6 or 9 in the paper
    layers: Natural = 2  # of D: a patch has 1, 16, 34, 70, 142 or 286 pixels a side


def absolute(x, y):
    """The mean absolute difference of images, [B]."""
    return jnp.abs(x - y).mean((1, 2, 3))


def game(g: nn.Module, d: nn.Module, cfg: Config, axis: str | None = None) -> GAN:
    """Two generators like g against two discriminators like d."""
    sides = "a", "b"  # of a domain: the generator that makes it, and the discriminator that judges it

    def made(params, of: str, x):
        return g.apply({"params": params[of]}, x)

    def judged(params, of: str, x):
        return d.apply({"params": params[of]}, x, train=True)

    def images(batch):
        return {side: batch[side]["image"] for side in sides}

    def init(key, batch):
        real = images(batch)
        other = {"a": real["b"], "b": real["a"]}
        of_g = {side: g.init(fold(key, "g", side), other[side])["params"] for side in sides}
        of_d = {side: d.init(fold(key, "d", side), real[side], train=True)["params"] for side in sides}
        extra = {side: pool.empty(real[side].shape[1:], cfg.pool) for side in sides}
        return {"params": of_g}, {"params": of_d}, extra

    def g_loss(params, state, batch, key):
        real, fake, same = images(batch), {}, {}
        for side, other in (("a", "b"), ("b", "a")):
            both = made(params, side, jnp.concatenate([real[other], real[side]]))
            fake[side], same[side] = jnp.split(both, 2)
        back = {"a": made(params, "a", fake["b"]), "b": made(params, "b", fake["a"])}
        says = {side: judged(state.d.params, side, fake[side]) for side in sides}
        # Squares without the half of the game's loss, as the weights 10 and 5 are meant for.
        game = sum(2 * least_squares.g(says[side], says[side]).mean() for side in sides)
        cycle = sum(absolute(back[side], real[side]).mean() for side in sides)
        identity = sum(absolute(same[side], real[side]).mean() for side in sides)
        loss = game + cfg.cycle * (cycle + cfg.identity * identity)
        return loss, (state, {"game": game, "cycle": cycle / 2, "identity": identity / 2})

    def d_loss(params, state, batch, key):
        real, extra, metrics, loss = images(batch), {}, {}, 0.0
        other = {"a": real["b"], "b": real["a"]}
        for side in sides:
            # As G's loss has them, so that where both are of one state they are made once.
            fake, _ = jnp.split(made(state.g.params, side, jnp.concatenate([other[side], real[side]])), 2)
            extra[side], shown = pool.exchanged(
                state.extra[side], fold(key, "pool", side), batch["slot"], fake, axis=axis
            )
            on_real, on_fake = jnp.split(judged(params, side, jnp.concatenate([real[side], shown])), 2)
            loss += least_squares.d(on_real, on_fake).mean()
            if weighs(cfg.r1):
                critic = partial(judged, params, side)
                loss += r1(critic, real[side], shown, key, batch["slot"], gamma=cfg.r1).mean()
            metrics |= {
                f"accuracy_real_{side}": (on_real > 0.5).mean(),
                f"accuracy_fake_{side}": (on_fake < 0.5).mean(),
            }
        return loss, (state.replace(extra=extra), metrics)

    def sample(variables, z, a):
        answer = made(variables["params"], "b", a)
        return jnp.stack([answer, made(variables["params"], "a", answer)], 1)

    def latent(key, slot):
        return jnp.zeros((len(slot), 0))  # an answer is a function of the image alone

    return GAN(init, d_loss, g_loss, latent, sample, None, "a")


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    g = cyclegan.Generator(cfg.g_width, cfg.blocks, cfg.channels)
    d = pix2pix.Discriminator(cfg.d_width, layers=cfg.layers)
    falling = lambda step: cfg.lr * jnp.clip(2 - 2 * step / cfg.steps, 0, 1)  # noqa: E731
    adam = optax.adam(falling, b1=0.5)
    return game(g, d, cfg, axis), Optimizers(adam, adam)


def train_step(cfg: Config):
    """Both players' updates at the same state, as the authors' code has them."""
    return simultaneous_step


def batches(cfg: Config, draw):
    """One batch of both domains a step."""
    return partial(resident.batches, draw)


if __name__ == "__main__":
    train.main(Config, make, domains)
