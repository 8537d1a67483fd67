"""WGAN-GP: a critic whose slope is drawn to 1 (Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028).

    python -m experiments.wgan_gp

The critic D minimises D(G(z)) - D(x) + gp_weight (||grad D|| - 1)^2, the slope taken at random points
between real and generated images, and G minimises -D(G(z)). D has no batch normalisation, since the
penalty is one on each example's own slope.

Measured by this command with seeds 0, 1 and 2, in about 1.7 to 2.3 minutes each on one CPU core: fcd
3.5, 4.0 and 4.1 (two random halves of the real digits are 6.8 apart). By a judge that is right on 99.0
% of held-out real digits each class has 7.6 to 11.4 % of the samples; diversity 1.01 to 1.02,
memorisation 1.28 to 1.32.

Published: an Inception score of 7.86 +- 0.07 on CIFAR-10, by residual networks (table 3).
"""

from dataclasses import dataclass

from experiments import dcgan
from jaxgan import train
from jaxgan.config import Count, Decay, Rate
from jaxgan.game import GAN, Optimizers
from jaxgan.kinds.images import images
from jaxgan.losses.adversarial import wasserstein
from jaxgan.losses.penalties import gradient_penalty
from jaxgan.recipes import by_size
from jaxgan.terms import penalty
from jaxgan.two_player import two_player


@dataclass(frozen=True)
class Config(dcgan.Config):
    """WGAN-GP."""

    width: Count = 32  # channels next to the image, doubled at each level inward
    latent: Count | None = by_size(small=16, paper=128)  # numbers in z; small: 16, paper: 128
    steps: Count = 3000  # generator updates
    n_critic: Count = 5  # critic updates for one of the generator
    gp_weight: Rate = 10.0  # of the gradient penalty, lambda
    one_sided: bool = False  # penalise slopes above 1 alone
    g_lr: Rate = 5e-4  # the generator's learning rate; 1e-4 in the paper
    d_lr: Rate = 5e-4  # the critic's learning rate; 1e-4 in the paper
    beta1: Decay = 0.0  # of Adam
    beta2: Decay = 0.9  # of Adam


def make(cfg: Config, axis: str | None = None) -> tuple[GAN, Optimizers]:
    """The method of a config, for batches sharded over the device axis if there is one."""
    gan = two_player(
        dcgan.generator(cfg, axis),
        dcgan.discriminator(cfg, axis, norm="none"),
        loss=wasserstein,
        latent=dcgan.latent(cfg),
        augment=dcgan.augmentation(cfg, axis),
        d_terms={"gp": penalty(gradient_penalty, weight=cfg.gp_weight, one_sided=cfg.one_sided)},
    )
    return gan, dcgan.optimizers(cfg)


if __name__ == "__main__":
    train.main(Config, make, images)
