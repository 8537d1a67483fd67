"""DCGAN: deep convolutional GAN (Radford, Metz and Chintala 2016, https://arxiv.org/abs/1511.06434).

    python -m experiments.dcgan

D minimises -log D(x) - log(1 - D(G(z))) and G minimises -log D(G(z)), by Adam, one update each.

Measured by this command with seeds 0, 1 and 2, about 2 minutes each on two CPU cores: fcd 7.2, 5.0
and 5.2 (two random halves of the real digits are 6.8 apart); 7.0 with seed 0 since the config's numbers are
arguments of the compiled program. By a judge that is right on 99.0 % of
held-out real digits all ten classes are there, each with 7.2 to 12.4 % of the samples; memorisation
1.3. With g_lr 0, the negative control, fcd is above 100.

Published, of the features of D on other data: a linear classifier of them is right on 82.8 % of
CIFAR-10 (section 5.1) and wrong on 22.48 % of SVHN with 1000 labels (section 5.2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import optax

from jaxgan import augment, random, train
from jaxgan.config import Chance, Count, Decay, InputError, Rate, Seed
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import non_saturating
from jaxgan.nets import dcgan
from jaxgan.recipes import Recipe, by_size, check_filled
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config:
    """DCGAN."""

    data: str = "digits"  # digits, shapes, tfds:NAME, folder:PATH or npz:PATH
    recipe: Recipe | None = None  # where a flag has both; by the data's size if not given
    split: str = "train"  # of a TFDS set
    image_size: Count = 16  # 8, 16, 32, 64 or 128 pixels
    channels: int | None = None  # 1 or 3; as the data has if not given
    width: Count = 64  # channels next to the image, doubled at each level inward; 128 in the paper
    latent: Count | None = by_size(small=16, paper=100)  # numbers in z; small: 16, paper: 100
    batch_size: Count = 64  # 128 in the paper
    steps: Count = 6000  # generator updates
    n_critic: Count = 1  # discriminator updates for one of the generator
    shared_draws: bool = False  # G learns from the images that D has just judged: a tenth faster
    g_lr: Rate | None = by_size(small=2e-3, paper=2e-4)  # G's learning rate; small: 2e-3, paper: 2e-4
    d_lr: Rate = 2e-4  # the discriminator's learning rate
    beta1: Decay = 0.5  # of Adam
    beta2: Decay = 0.999  # of Adam
    ema_decay: Decay | None = 0.998  # of the generator's average; none in the paper
    augment: Literal["none", "diff_augment", "ada", "apa"] = "none"  # of what D sees: where data are few
    augment_p: Chance | None = None  # of each change; if not given 1, and of ada and apa as D knows the data
    ada_target: Chance = 0.6  # the mean sign of D's logits of real images that ada and apa keep to
    ada_images: Count = 500_000  # real images within which their probability goes from 0 to 1
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the networks' arithmetic
    seed: Seed = 0  # of the run's key


def generator(cfg, axis: str | None, **options) -> dcgan.Generator:
    """G of a config that has this one's fields."""
    size = dict(image_size=cfg.image_size, channels=cfg.channels, width=cfg.width)
    return dcgan.Generator(**size, dtype=cfg.dtype, axis=axis, **options)


def discriminator(cfg, axis: str | None, **options) -> dcgan.Discriminator:
    """D of a config that has this one's fields."""
    return dcgan.Discriminator(width=cfg.width, dtype=cfg.dtype, axis=axis, **options)


def latent(cfg):
    """(key, slot) -> z f32[B, latent], uniform in [-1, 1)."""
    check_filled(cfg)
    return partial(random.uniform, shape=(cfg.latent,), minval=-1.0)


def augmentation(cfg, axis: str | None) -> Callable | augment.Adaptive | None:
    """What a config has D see images through, or what it has real ones exchanged by.

    Raises:
      InputError: if there is a probability and nothing that it is of.
    """
    if cfg.augment == "none" and cfg.augment_p is not None:
        raise InputError("--augment-p is a probability of --augment diff_augment, ada or apa: give that too")
    of = {"none": None, "diff_augment": augment.diff_augment, "ada": augment.bgc, "apa": None}[cfg.augment]
    adaptive = partial(augment.Adaptive, of, cfg.batch_size, cfg.ada_target, axis=axis)
    if cfg.augment in ("ada", "apa") and cfg.augment_p is None:
        return adaptive(cfg.ada_images)
    if cfg.augment == "apa":
        return adaptive(float("inf"), p=cfg.augment_p)
    return of and partial(of, p=1.0 if cfg.augment_p is None else cfg.augment_p)


def optimizers(cfg) -> Optimizers:
    """Adam for both players, and G's average."""
    adam = partial(optax.adam, b1=cfg.beta1, b2=cfg.beta2)
    return Optimizers(adam(cfg.g_lr), adam(cfg.d_lr), cfg.ema_decay, cfg.shared_draws)


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    gan = two_player(
        generator(cfg, axis),
        discriminator(cfg, axis),
        loss=non_saturating,
        latent=latent(cfg),
        augment=augmentation(cfg, axis),
    )
    return gan, optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
