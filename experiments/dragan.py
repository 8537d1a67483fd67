"""DRAGAN: D's slope is drawn to 1 around the data (Kodali et al. 2017, https://arxiv.org/abs/1705.07215).

    python -m experiments.dragan

DCGAN's losses, and for D gp_weight (||grad D|| - 1)^2 at real images moved a random part of the way to
themselves plus noise of half the data's standard deviation. D has no batch normalisation.

Measured by this command with seeds 0, 1 and 2, in about a minute each on one CPU core: fcd 7.2, 8.8 and
7.2 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0 % of held-out
real digits each class has 8.0 to 12.3 % of the samples; diversity 1.04 to 1.06, memorisation 1.34 to
1.38. With seed 0 and --gp-weight 0, the negative control, fcd is 79.3.

Published: an Inception score of 6.59 and an FID of 34.69 on CIFAR-10, by StudioGAN's implementation.
"""

from dataclasses import dataclass

from experiments import dcgan
from jaxgan import train
from jaxgan.config import Count, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses import penalties
from jaxgan.losses.adversarial import non_saturating
from jaxgan.terms import penalty
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(dcgan.Config):
    """DRAGAN."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    steps: Count = 3000  # generator updates
    g_lr: Rate = 1e-3  # the generator's learning rate
    d_lr: Rate = 1e-3  # the discriminator's learning rate
    gp_weight: Rate = 10.0  # of the penalty, lambda
    scale: Rate = 0.5  # of the noise, in standard deviations of the data


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    slope = penalty(penalties.dragan, weight=cfg.gp_weight, scale=cfg.scale, axis=axis)
    gan = two_player(
        dcgan.generator(cfg, axis),
        dcgan.discriminator(cfg, axis, norm="none"),
        loss=non_saturating,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        d_terms={"dragan": slope},
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
