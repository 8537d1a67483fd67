"""Conditional GAN (Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784) on DCGAN's networks.

Both networks are given the label, its one-hot code concatenated to every layer's input; else the
game is DCGAN's.

    python -m experiments.cgan
    python -m experiments.cgan --data tfds:fashion_mnist --data-dir DIR --image-size 32 --width 32 \\
        --g-lr 2e-4 --steps 5000

Measured by the first command with seeds 0, 1 and 2, 2 to 3 minutes each on two CPU cores: fcd 2.1,
2.5 and 2.7 (two random halves of the real digits are 6.8 apart), and a judge that is right on 99.0 % of
held-out real digits sees the label that was asked for in 99.1, 99.2 and 99.1 % of 5000 samples. By the
second with seed 0, in 4.3 minutes: fcd 3.3 (halves: 0.14), asked label 87.5 %; that judge is right on
90.9 % of held-out real images. With g_lr 0, the negative control, agreement is below 30 %.

Published: a Parzen-window log-likelihood of 132 on MNIST (table 1), a measure no longer in use.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import optax

from jaxgan import random, train
from jaxgan.config import Count, Decay, Rate, Seed
from jaxgan.game import GAN, Optimizers
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config:
    """Conditional GAN."""

    data: str = "digits"  # digits, tfds:NAME, folder:PATH or npz:PATH; with labels
    split: str = "train"  # of a TFDS set
    image_size: Count = 16  # 8, 16, 32, 64 or 128 pixels
    channels: int | None = None  # 1 or 3; as the data has if not given
    n_classes: int | None = None  # as the data has if not given
    width: Count = 64  # channels next to the image, doubled at each level inward
    latent: Count = 100  # numbers in z, uniform in [-1, 1)
    batch_size: Count = 64  # real examples in one update of D
    steps: Count = 6000  # generator updates
    n_critic: Count = 1  # discriminator updates for one of the generator
    shared_draws: bool = False  # G learns from the images that D has just judged: a tenth faster
    g_lr: Rate = 2e-3  # the generator's learning rate
    d_lr: Rate = 2e-4  # the discriminator's learning rate
    beta1: Decay = 0.5  # of Adam
    beta2: Decay = 0.999  # of Adam
    ema_decay: Decay | None = 0.998  # of the generator's average
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the networks' arithmetic
    seed: Seed = 0  # of the run's key


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    net = dict(width=cfg.width, n_classes=cfg.n_classes, dtype=cfg.dtype, axis=axis)
    gan = two_player(
        dcgan.Generator(image_size=cfg.image_size, channels=cfg.channels, **net),
        dcgan.Discriminator(**net),
        loss=non_saturating,
        latent=partial(random.uniform, shape=(cfg.latent,), minval=-1.0),
        condition="label",
    )
    adam = partial(optax.adam, b1=cfg.beta1, b2=cfg.beta2)
    return gan, Optimizers(adam(cfg.g_lr), adam(cfg.d_lr), cfg.ema_decay, cfg.shared_draws)


if __name__ == "__main__":
    train.main(Config, make)
