"""SRGAN (Ledig et al. 2017, https://arxiv.org/abs/1609.04802): images so many times as large.

    python -m experiments.srgan
    python -m experiments.srgan --data tfds:fashion_mnist --data-dir DIR --image-size 28 --channels 1 \\
        --held-out 2000

SRResNet learns by squares alone for `pretrain` steps, in which D rests, and then plays the game; where these
are all steps, it stays SRResNet. The perceptual loss is of VGG19's features where its weights are given, else
of a classifier of the data's own labels, another than the one that scores.

Fashion-MNIST from 7x7 to 28x28, 2000 of 60,000 held out; medians and ranges of seeds 0 to 4, by `jaxgan sweep
srgan --set pretrain=3000,1500 --seeds 5` in 23 minutes, partly beside other work, on two cores of an Intel
Xeon (family 6 model 207). `fcd` is the Frechet distance of a classifier's features to the images trained on;
its means have intervals of 4.92 to 5.41 and 4.02 to 4.81, and paired by seeds a ratio of 1.17 (1.12 to 1.24).

| | psnr | fcd | detail |
|---|---|---|---|
| SRResNet | 20.39 (20.35 to 20.41) | 5.18 (4.89 to 5.38) | 0.416 (0.411 to 0.419) |
| with the game | 19.82 (19.80 to 19.85) | 4.36 (3.96 to 4.78) | 0.688 (0.674 to 0.695) |
| the best linear map | 18.08 | 18.9 | |
| bicubic, by Pillow | 16.11 | 70.6 | |

Here D judges patches beside the small image, as pix2pix's. With the paper's D of whole images (`--judged
whole --d-width 16 --beta1 0.9 --adversarial 1e-2`) the distance is 5.42 (5.19 to 9.08; seeds 0 to
2), above that of SRResNet, at a PSNR of 19.16.

Published: a PSNR of 32.05, 28.49 and 27.58 dB of SRResNet on Set5, Set14 and BSD100, four times as large; of
SRGAN 29.40, 26.02 and 25.16; bicubic 28.43, 25.99 and 25.94.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax

from experiments.pix2pix import weighted
from jaxgan import random, steps, train
from jaxgan.config import Count, Decay, InputError, Natural, Rate, Seed
from jaxgan.data import Dataset, tasks
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.pairs import pairs
from jaxgan.losses.adversarial import AdversarialLoss, non_saturating
from jaxgan.metrics import judge, vgg
from jaxgan.nets import srgan
from jaxgan.terms import Term
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config:
    """SRGAN."""

    data: str = "shapes"  # a set of images, or without a task pairs: folder:PATH or npz:PATH
    task: str = "low:4"  # low:FACTOR; "" of data that are pairs
    arrays: str = "input,image"  # the small and the large images in an npz file
    held_out: Count = 500  # pairs that are not trained on
    split: str = "train"  # of a TFDS set
    factor: Count = 4  # how many times as large
    image_size: Count = 32  # of the large images
    channels: int | None = None  # 1 or 3; the data's own if not given
    batch_size: Count = 16  # pairs in one update
    steps: Natural = 3000  # generator updates, those by squares alone among them
    pretrain: Natural = 1500  # steps of SRResNet by squares alone
    n_critic: Count = 1  # discriminator updates for one of the generator
    seed: Seed = 0  # of the run's key
    lr: Rate = 1e-3  # for half of the steps, and from there down to 0; the paper's is 1e-4
    squares: Rate = 1.0  # in the game; the paper has none
    perceptual: Rate = 1.0  # of squares of features
    adversarial: Rate = 5e-3  # the paper's 1e-3 beside features of VGG
    vgg: str | None = None  # VGG19's weights, vgg19-dcbb9e9d.pth of PyTorch
    g_width: Count = 32  # channels of the generator; 64 in the paper
    blocks: Natural = 4  # residual blocks of the generator; 16 in the paper
    judged: Literal["whole", "patches"] = "patches"  # by D: images, as in the paper, or pairs' patches
    d_width: Count = 32  # channels of the discriminator's first layer; 64 in the paper
    d_dense: Count = 64  # of a D of whole images
    beta1: Decay = 0.5  # of Adam; the paper's is 0.9


def squares(seen):
    """The mean squared error of each answer, [B]."""
    return jnp.square(seen.fake - seen.real).mean((1, 2, 3))


def features(frozen, x):
    """The maps of images f32[B, H, W, C] in [-1, 1] that are compared, [B, h, w, F]."""
    return (vgg.features if "features.0" in frozen else judge.maps)(frozen, x)


def perceptual(seen):
    """The mean squared difference of each answer's features from the truth's, [B]."""
    of_fake, of_real = (features(seen.state.frozen, x) for x in (seen.fake, seen.real))
    return jnp.square(of_fake - of_real).mean((1, 2, 3))


def compares(cfg: Config) -> bool:
    """Whether features have a part: in a game, and with a weight; one that is traced is not 0."""
    weightless = isinstance(cfg.perceptual, int | float) and cfg.perceptual == 0
    return cfg.pretrain < cfg.steps and not weightless


def frozen(cfg: Config, data: Dataset):
    """The weights of the features, which nothing trains; () where they have no part."""
    if not compares(cfg):
        return ()
    if cfg.vgg is not None:
        return vgg.read(cfg.vgg)
    if data.get("label") is None:
        raise InputError(
            f"{data.name} has no labels, of which a classifier could learn features: give --vgg PATH, or "
            "--perceptual 0"
        )
    return judge.cached(data, seed=1).params


def games(cfg: Config, axis: str | None = None) -> tuple[GAN, GAN]:
    """SRResNet's squares, in which D has no part, and the game."""
    size = {"factor": cfg.factor, "channels": cfg.channels}
    g = srgan.Generator(cfg.g_width, blocks=cfg.blocks, **size, axis=axis)
    d = srgan.Discriminator(cfg.d_width, dense=cfg.d_dense, axis=axis)
    d = d if cfg.judged == "whole" else srgan.PatchDiscriminator(cfg.d_width)
    game = partial(two_player, g, d, latent=partial(random.normal, shape=(0,)), condition="input")
    nothing = lambda real, fake: jnp.zeros(len(real))  # noqa: E731
    terms = {"squares": Term(squares, cfg.squares)}
    terms |= {"perceptual": Term(perceptual, cfg.perceptual)} if compares(cfg) else {}
    return (
        game(loss=AdversarialLoss(nothing, nothing), g_terms={"squares": squares}),
        game(loss=weighted(non_saturating, cfg.adversarial), g_terms=terms),
    )


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    if cfg.task and (asked := getattr(tasks.named(cfg.task), "keywords", {}).get("factor")) != cfg.factor:
        by = f"--factor {asked}" if asked else "--task low:FACTOR"
        raise InputError(
            f"--task {cfg.task}: images are not asked for {cfg.factor} times as large; give {by}"
        )
    falling = lambda step: cfg.lr * jnp.clip(2 - 2 * step / cfg.steps, 0, 1)  # noqa: E731
    adam = optax.adam(falling, b1=cfg.beta1)
    return games(cfg, axis)[1], Optimizers(adam, adam)


def train_step(cfg: Config):
    """An update of G alone while SRResNet learns, and then one of D and one of G."""

    def step(gan, opts, state, batches, **options):
        def game(state):
            return steps.train_step(gan, opts, state, batches, **options)

        def alone(state):
            batch = jax.tree.map(lambda x: x[-1], batches)
            learns = games(cfg, options.get("axis"))[0]
            state, found = steps.g_step(learns, opts, state, batch, **options)
            # All steps tell the same figures: of what has no part yet they are 0.
            return state, {name: found.get(name, jnp.zeros(())) for name in jax.eval_shape(game, state)[1]}

        return lax.cond(state.step < cfg.pretrain, alone, game, state)

    return step


if __name__ == "__main__":
    train.main(Config, make, pairs)
